"""Where Cohere's operations are."""

from __future__ import annotations


def url_of(api_base: str, version: str, operation: str) -> str:
    """A base may end with a version, or be the whole address, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix(f"/{operation}").removesuffix("/v2").removesuffix("/v1")
    return f"{base}/{version}/{operation}"
