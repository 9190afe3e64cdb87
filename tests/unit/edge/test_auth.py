"""Who is calling: every carrier runs the same code."""

import hashlib

import pytest

from edge.auth import CARRIERS, Authenticator
from services.errors import GatewayError, Reason

AUTHENTICATOR = Authenticator("sk-master")


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("prefix", [b"", b"Bearer ", b"bearer "])
def test_every_carrier_takes_a_key(carrier: bytes, prefix: bytes) -> None:
    credential = AUTHENTICATOR.identify([(b"host", b"h"), (carrier, prefix + b"sk-virtual")])
    assert not credential.master
    assert credential.digest == hashlib.sha256(b"sk-virtual").digest()
    assert AUTHENTICATOR.identify([(carrier, prefix + b"sk-master")]).master


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
