"""Secrets of virtual keys: how they are made, what is kept of them, and how a key is named.

    secret -> digest = SHA-256(secret) -> token = HMAC-SHA256(pepper, digest), in hex

A key that is rotated by itself gets a secret that whoever holds the one before it can be told (decision 0016):

    next secret = "sk-" + base64url(HMAC-SHA256(pepper, "next" + token))

Callers have the secret, edges pass the digest on, the store keeps the token. Only the secret authenticates: whoever
reads the store has nothing to call with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

PREFIX = "sk-"

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def new_secret() -> str:
    """128 random bits, in the form that LiteLLM gives them."""
    return PREFIX + secrets.token_urlsafe(16)


def digest_of(secret: str) -> bytes:
    """What edges send instead of the secret."""
    return hashlib.sha256(secret.encode()).digest()


def key_name(secret: str) -> str:
    """What people may see of a secret."""
    return f"{PREFIX}...{secret[-4:]}"


class Tokens:
    """Turns digests into what is stored."""

    def __init__(self, pepper: str) -> None:
        if not pepper:
            raise ValueError("the keystore needs a pepper")
        self._pepper = pepper.encode()

    @property
    def fingerprint(self) -> str:
        """What tells one pepper from another. No digest is as long as the text, so it is no key's token."""
        return hmac.digest(self._pepper, b"fingerprint of the pepper", "sha256").hex()

    def token_of(self, digest: bytes) -> str:
        """The token of a secret with this digest."""
        return hmac.digest(self._pepper, digest, "sha256").hex()

    def next_secret(self, token: str) -> str:
        """What takes the place of the secret with this token. What it is made of is as long as no digest is."""
        derived = hmac.digest(self._pepper, b"next" + token.encode(), "sha256")
        return PREFIX + base64.urlsafe_b64encode(derived).decode().rstrip("=")

    def named(self, name: str) -> list[str]:
        """Tokens or key ids that an admin may mean by a secret, its SHA-256, or a token or key id itself."""
        if name.startswith(PREFIX):
            return [self.token_of(digest_of(name))]
        if _HEX_DIGEST.fullmatch(name):
            return [name, self.token_of(bytes.fromhex(name))]
        return []
