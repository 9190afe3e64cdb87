"""Who is calling: every carrier runs the same code."""

import hashlib

import pytest

from edge.auth import CARRIERS, SUBPROTOCOLS, Authenticator, key_in_subprotocols
from services.errors import GatewayError, Reason

AUTHENTICATOR = Authenticator("sk-master")


@pytest.mark.parametrize("carrier", [name for name in CARRIERS if name != SUBPROTOCOLS])
@pytest.mark.parametrize("prefix", [b"", b"Bearer ", b"bearer "])
def test_every_carrier_takes_a_key(carrier: bytes, prefix: bytes) -> None:
    credential = AUTHENTICATOR.identify([(b"host", b"h"), (carrier, prefix + b"sk-virtual")])
    assert not credential.master
    assert credential.digest == hashlib.sha256(b"sk-virtual").digest()
    assert AUTHENTICATOR.identify([(carrier, prefix + b"sk-master")]).master


def test_a_websocket_carries_its_key_among_the_subprotocols() -> None:
    offered = b"realtime, openai-insecure-api-key.sk-virtual, openai-beta.realtime-v1"
    credential = AUTHENTICATOR.identify([(SUBPROTOCOLS, offered)])
    assert credential.digest == hashlib.sha256(b"sk-virtual").digest()
    assert AUTHENTICATOR.identify([(SUBPROTOCOLS, b"openai-insecure-api-key.sk-master")]).master
    # A header of its own wins.
    headers = [(SUBPROTOCOLS, offered), (b"x-api-key", b"sk-master")]
    assert AUTHENTICATOR.identify(headers).master


@pytest.mark.parametrize("offered", [b"", b"realtime", b"openai-insecure-api-key", b"openai-insecure-api-key.", b",,"])
def test_subprotocols_without_a_key_have_none(offered: bytes) -> None:
    assert key_in_subprotocols(offered) == b""


def test_a_header_that_the_configuration_names_wins_over_all_others() -> None:
    named = Authenticator("sk-master", "X-Gateway-Key")
    headers = [(b"authorization", b"Bearer sk-for-somebody-else"), (b"x-gateway-key", b"Bearer sk-virtual")]
    assert named.identify(headers).digest == hashlib.sha256(b"sk-virtual").digest()
    assert named.identify(headers[:1]).digest == hashlib.sha256(b"sk-for-somebody-else").digest()
    # Nobody else's header.
    assert AUTHENTICATOR.identify(headers).digest == hashlib.sha256(b"sk-for-somebody-else").digest()


def test_the_first_carrier_in_order_wins_wherever_it_stands() -> None:
    headers = [(b"x-api-key", b"sk-second"), (b"authorization", b"Bearer sk-first")]
    assert AUTHENTICATOR.identify(headers).digest == hashlib.sha256(b"sk-first").digest()


@pytest.mark.parametrize("value", [b"", b"Bearer", b"Bearer ", b"Basic abc", b"virtual", b"sk-" + b"a" * 2000, b"\xff"])
def test_what_can_be_no_key_is_refused_without_being_repeated(value: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        AUTHENTICATOR.identify([(b"authorization", value)])
    assert caught.value.reason == Reason.ERROR_REASON_KEY_MISSING
    assert "abc" not in caught.value.message


def test_no_key_at_all_says_so() -> None:
    with pytest.raises(GatewayError, match="No api key passed in"):
        AUTHENTICATOR.identify([(b"host", b"h")])


def test_without_a_master_key_there_is_no_edge() -> None:
    with pytest.raises(ValueError, match="master key"):
        Authenticator("")
