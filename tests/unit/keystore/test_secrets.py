"""What is made of a secret, and how keys are named."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from keystore.secrets import Tokens, digest_of, key_name, new_secret


def test_secrets_are_litellm_s_in_form_and_differ() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("sk-") and len(secret) == 25 for secret in made)


def test_a_name_shows_four_characters() -> None:
    assert key_name("sk-HNfpbPk-q6xagnGM3gnOHA") == "sk-...nOHA"


def test_the_token_is_the_hmac_of_the_digest() -> None:
    digest = hashlib.sha256(b"sk-a").digest()
    assert digest_of("sk-a") == digest
    assert Tokens("pepper").token_of(digest) == hmac.new(b"pepper", digest, hashlib.sha256).hexdigest()
    assert Tokens("other").token_of(digest) != Tokens("pepper").token_of(digest)


def test_an_admin_may_say_secret_digest_or_token() -> None:
    tokens = Tokens("pepper")
    token = tokens.token_of(digest_of("sk-a"))
    for name in ("sk-a", digest_of("sk-a").hex(), token):
        assert token in tokens.named(name)
    assert tokens.named("nonsense") == []


def test_a_fingerprint_tells_peppers_apart_and_is_not_the_pepper() -> None:
    assert Tokens("pepper").fingerprint == Tokens("pepper").fingerprint != Tokens("other").fingerprint
    assert "pepper" not in Tokens("pepper").fingerprint


def test_without_a_pepper_nothing_starts() -> None:
    with pytest.raises(ValueError, match="pepper"):
        Tokens("")


def test_the_next_secret_follows_from_the_token_and_the_pepper_alone() -> None:
    tokens = Tokens("pepper")
    following = tokens.next_secret("a" * 64)
    assert following == Tokens("pepper").next_secret("a" * 64)
    assert following.startswith("sk-")
    assert len(following) == 46
    assert "=" not in following
    assert len({following, tokens.next_secret("b" * 64), Tokens("other").next_secret("a" * 64)}) == 3
    # It is no token, and none can be made to be it: what tokens are made of is shorter.
    assert tokens.token_of(digest_of(following)) not in following
