"""One dispatch while it runs: what is known of it at any moment, so that its entry can be made whenever it ends."""

from __future__ import annotations

from collections.abc import Callable

from gateway.v1 import common_pb2, ledger_pb2, router_pb2

from router.accounting import Attempt, Outcome
from router.catalog import Deployment
from router.passed_on import shown_base
from router.routing.choice import Choice
from router.wire.base import Answer, StreamDecoder, StreamEnd
from services.errors import Reason

# Looked up once: an enum's member costs a microsecond.
_SUCCEEDED = Reason.ERROR_REASON_UNSPECIFIED
_INTERNAL = Reason.ERROR_REASON_INTERNAL
_FAILURE = ledger_pb2.ENTRY_STATUS_FAILURE


class Dispatch:
    """Until it is told otherwise, it has failed by a mistake of the gateway's own."""

    __slots__ = (
        "_attempt_began",
        "_attempt_seconds",
        "_attempts_before",
        "_began",
        "_clock",
        "_content_bytes",
        "_counted_tokens",
        "_decoder",
        "_deployment",
        "_dropped",
        "_error_reason",
        "_first_token_ms",
        "_groups",
        "_provider_headers",
        "_provider_status",
        "_status",
        "_usage",
        "body_bytes",
        "choices",
        "ended",
        "has_head",
        "held_nano_usd",
        "is_accounted",
        "request",
    )

    def __init__(self, request: router_pb2.Open, clock: Callable[[], float]) -> None:
        self.request = request
        self.body_bytes = 0
        # Grows with the hold.
        self.held_nano_usd = request.hold.held_nano_usd
        self.ended: list[Attempt] = []
        # Looks for a deployment; the last is of the attempt under way.
        self.choices: list[Choice] = []
        self.has_head = False
        self.is_accounted = False
        self._clock = clock
        self._began = clock()
        self._first_token_ms = 0
        self._status: ledger_pb2.EntryStatus = _FAILURE
        self._error_reason: Reason = _INTERNAL
        # The attempt under way; no deployment: there is none.
        self._deployment: Deployment | None = None
        self._attempt_began = 0.0
        self._attempt_seconds = 0.0
        self._provider_headers = ""
        # Model groups that were begun, and attempts that had ended when the present one was.
        self._groups = 0
        self._attempts_before = 0
        self._provider_status = 0
        self._usage: common_pb2.TokenUsage | None = None
        self._content_bytes = 0
        self._counted_tokens: int | None = None
        self._decoder: StreamDecoder | None = None
        self._dropped: tuple[str, ...] = ()

    def begin_group(self) -> None:
        """What follows is tried in another model group."""
        self._groups += 1
        self._attempts_before = len(self.ended)

    def begin_attempt(self, deployment: Deployment, dropped: tuple[str, ...] = ()) -> None:
        """A request to the provider starts. dropped: members of the caller's body that it does not have."""
        self._deployment = deployment
        self._attempt_began = self._clock()
        self._provider_status = 0
        self._usage = None
        self._content_bytes = 0
        self._counted_tokens = None
        self._decoder = None
        self._provider_headers = ""
        self._dropped = dropped

    def answers(self, status: int, headers: str = "") -> None:
        """The head of the provider's answer is here. headers: those that are passed on, a line each."""
        self._provider_status = status
        self._provider_headers = headers

    def streams(self, decoder: StreamDecoder) -> None:
        """The answer comes as a stream: the decoder knows how much of it has come."""
        self._decoder = decoder

    def answered(self, answer: Answer) -> None:
        """The whole answer is here."""
        self._first_token_ms = self._to_first_token_ms()
        self._usage = answer.usage
        self._content_bytes = answer.content_bytes

    def stream_ended(self, end: StreamEnd) -> None:
        """The stream is over, and this is what it came to."""
        self._usage = end.usage
        self._content_bytes = end.content_bytes
        self._decoder = None

    def cut(self, output_tokens: int) -> common_pb2.TokenUsage | None:
        """The stream is ended where its hold is, at so many tokens; its usage, if the provider has told it by now.

        What it has written beyond that is not passed on, and not billed: the usage may have come in the same read.
        """
        if self._decoder is not None:
            self.stream_ended(self._decoder.close())
        self._counted_tokens = output_tokens
        if self._usage is not None and self._usage.output_tokens > output_tokens:
            told, self._usage = self._usage, common_pb2.TokenUsage()
            self._usage.CopyFrom(told)
            for name in ("output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens"):
                setattr(self._usage, name, min(getattr(told, name), output_tokens))
        return self._usage

    def end_attempt(self, error_reason: Reason = _SUCCEEDED) -> None:
        """The attempt is over, well unless a reason is given. Nothing when there is none."""
        if self._deployment is None:
            return
        if self._decoder is not None:
            self.stream_ended(self._decoder.close())
        self._attempt_seconds = self._clock() - self._attempt_began
        self.ended.append(
            Attempt(
                deployment=self._deployment,
                latency_ms=int(self._attempt_seconds * 1000),
                provider_status=self._provider_status,
                error_reason=error_reason,
                usage=self._usage,
                content_bytes=self._content_bytes,
                counted_tokens=self._counted_tokens,
            )
        )
        self._deployment = None

    def end(self, status: ledger_pb2.EntryStatus, error_reason: Reason = _SUCCEEDED) -> None:
        """The dispatch is over."""
        self._status = status
        self._error_reason = error_reason

    def head(self, content_type: str, deployment: Deployment) -> router_pb2.Head:
        """The head of the answer, made once there is content: from here on there is no way back."""
        self.has_head = True
        self._first_token_ms = self._first_token_ms or self._to_first_token_ms()
        called = deployment.at(self.request.operation) or deployment
        head = router_pb2.Head(
            content_type=content_type,
            deployment_id=deployment.id,
            provider_model=f"{deployment.provider}/{deployment.provider_model}",
            latency_ms=self._ms_since(self._began),
            model_group=deployment.group,
            api_base="" if deployment.mock_response is not None else shown_base(called.api_base),
        )
        is_streaming = self._deployment is not None
        seconds = self._clock() - self._attempt_began if is_streaming else self._attempt_seconds
        head.provider_latency_us = int(seconds * 1_000_000)
        # Almost always 0, and a member that is not set costs nothing.
        if retries := len(self.ended) + is_streaming - self._attempts_before - 1:
            head.attempted_retries = retries
        if self._groups > 1:
            head.attempted_fallbacks = self._groups - 1
        if self._provider_headers:
            head.provider_headers = self._provider_headers
        if self._dropped:  # an empty list costs a message 1 us
            head.dropped_params.extend(self._dropped)
        return head

    def timeout_seconds(self, deployment: Deployment) -> float:
        """For an attempt that starts now: the deployment's own limit, or less when the call has less time left."""
        limit = deployment.stream_timeout_seconds if self.request.stream else deployment.timeout_seconds
        left = self.time_left_seconds()
        return limit if left is None else min(limit, left)

    def time_left_seconds(self) -> float | None:
        """Of the whole call; None when it has no limit of its own."""
        if not self.request.timeout_ms:
            return None
        return self.request.timeout_ms / 1000 - (self._clock() - self._began)

    def outcome(self) -> Outcome:
        """What it has come to. An attempt that is still under way ended with it."""
        self.end_attempt(self._error_reason)
        return Outcome(
            status=self._status,
            attempts=tuple(self.ended),
            body_bytes=self.body_bytes,
            held_nano_usd=self.held_nano_usd,
            duration_ms=self._ms_since(self._began),
            first_token_ms=self._first_token_ms,
            error_reason=self._error_reason,
            choices=self.choices,
        )

    def _to_first_token_ms(self) -> int:
        # 0 is for no content at all.
        return max(1, self._ms_since(self._began))

    def _ms_since(self, moment: float) -> int:
        return int((self._clock() - moment) * 1000)
