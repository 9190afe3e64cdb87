"""One table of failures, which crosses between services whole."""

from __future__ import annotations

import grpc
import pytest
from gateway.v1 import errors_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.errors import TABLE, GatewayError, Next, Reason, internal, unavailable

NEWER = 987


def test_every_reason_has_its_row() -> None:
    assert set(TABLE) == set(Reason.values())


@pytest.mark.parametrize("reason", TABLE, ids=Reason.Name)
def test_a_row_is_an_error_to_grpc_and_to_http(reason: Reason) -> None:
    meaning = TABLE[reason]
    assert meaning.grpc_code is not grpc.StatusCode.OK
    assert 400 <= meaning.http_status <= 599
    assert meaning.type


def test_only_what_happened_at_a_provider_is_tried_elsewhere() -> None:
    """Anything else would be said by every deployment, or has already been decided for all of them."""
    elsewhere = {Reason.Name(reason) for reason, meaning in TABLE.items() if meaning.next is not Next.GIVE_UP}
    assert elsewhere == {
        "ERROR_REASON_CONTEXT_WINDOW_EXCEEDED",
        "ERROR_REASON_CONTENT_POLICY_VIOLATION",
        "ERROR_REASON_PROVIDER_RATE_LIMITED",
        "ERROR_REASON_PROVIDER_UNAVAILABLE",
        "ERROR_REASON_PROVIDER_TIMEOUT",
        "ERROR_REASON_PROVIDER_AUTHENTICATION",
        "ERROR_REASON_PROVIDER_NOT_FOUND",
        "ERROR_REASON_PROVIDER_INVALID_RESPONSE",
    }


_text = st.text(st.characters(codec="utf-8"), max_size=50)


@given(
    st.sampled_from(sorted(TABLE)),
    _text,
    _text,
    _text,
    st.integers(min_value=0, max_value=999),
    st.none() | st.integers(min_value=1, max_value=10**9),
)
def test_it_crosses_whole(
    reason: Reason, message: str, param: str, provider: str, status: int, retry_after_ms: int | None
) -> None:
    seconds = None if retry_after_ms is None else retry_after_ms / 1000
    error = GatewayError(
        reason, message, param=param, provider=provider, provider_status=status, retry_after_seconds=seconds
    )
    crossed = GatewayError.from_proto(errors_pb2.Error.FromString(error.to_proto().SerializeToString()))
    assert vars(crossed) == vars(error)
    assert str(crossed) == message


def test_a_reason_of_a_newer_peer_is_an_internal_error() -> None:
    error = GatewayError.from_proto(errors_pb2.Error(reason=NEWER, message="m"))  # type: ignore[arg-type]
    assert error.meaning.http_status == 500
    assert repr(error) == "GatewayError(987, 'm')"


def test_internal_tells_nothing() -> None:
    assert internal().reason == Reason.ERROR_REASON_INTERNAL
    assert internal().provider == ""


def test_unavailable_says_when_to_try_again() -> None:
    error = unavailable("down", 2.5)
    assert (error.reason, error.retry_after_seconds) == (Reason.ERROR_REASON_UNAVAILABLE, 2.5)
