"""What a router notices that operators want to know: slow and hanging calls, outages, a ledger that lags."""
