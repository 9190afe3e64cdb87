"""LiteLLM's admin paths: tables of routes onto the RPCs of keystore and ledger."""
