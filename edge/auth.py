"""Who is calling: one code path for every way to carry a key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import msgspec

from services.errors import GatewayError, Reason

# WebSockets in browsers have no headers of their own; OpenAI's clients put the key among the subprotocols.
SUBPROTOCOLS = b"sec-websocket-protocol"
KEY_PROTOCOL = b"openai-insecure-api-key."
# In this order the first present wins, as in LiteLLM; a header that the configuration names goes before them.
CARRIERS = (
    *(b"x-litellm-api-key", b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key"),
    *(b"ocp-apim-subscription-key", SUBPROTOCOLS),
)

# Our own secrets have 25 characters; custom ones may be longer, a megabyte may not.
MAX_KEY_BYTES = 1024


class Credential(msgspec.Struct, frozen=True, gc=False):
    """What a caller presented. `digest` is the key's SHA-256; the secret itself goes no further."""

    master: bool
    digest: bytes


class Authenticator:
    """Tells the master key from virtual keys. Whether a virtual key is good is the keystore's to say."""

    def __init__(self, master_key: str, key_header: str | None = None) -> None:
        """key_header: one more header that carries keys."""
        if not master_key:
            raise ValueError("the edge needs a master key")
        self._carriers = ((key_header.lower().encode(),) if key_header else ()) + CARRIERS
        self._master_digest = hashlib.sha256(master_key.encode()).digest()

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Credential:
        """The credential in these headers. GatewayError when there is none or it can be no key."""
        secret = _secret_in(headers, self._carriers)
        if not secret:
            raise GatewayError(
                Reason.ERROR_REASON_KEY_MISSING, "Authentication Error, No api key passed in.", param="None"
            )
        digest = hashlib.sha256(secret).digest()
        if hmac.compare_digest(digest, self._master_digest):
            return Credential(master=True, digest=digest)
        if len(secret) > MAX_KEY_BYTES or not secret.startswith(b"sk-"):
            raise GatewayError(
                Reason.ERROR_REASON_KEY_MISSING,
                "Authentication Error, a virtual key is expected: it starts with 'sk-'.",
                param="None",
            )
        return Credential(master=False, digest=digest)


def _secret_in(headers: Iterable[tuple[bytes, bytes]], carriers: Iterable[bytes]) -> bytes:
    by_name = dict(headers)
    for name in carriers:
        if value := by_name.get(name):
            secret = (key_in_subprotocols(value) if name == SUBPROTOCOLS else value).strip()
            return secret[7:].strip() if secret[:7].lower() == b"bearer " else secret
    return b""


def key_in_subprotocols(offered: bytes) -> bytes:
    """The key among the subprotocols that a WebSocket client offers (`realtime, openai-insecure-api-key.sk-...`)."""
    for protocol in offered.split(b","):
        if (plain := protocol.strip()).startswith(KEY_PROTOCOL):
            return plain[len(KEY_PROTOCOL) :]
    return b""
