"""What Gemini's answers hold, whole or in a stream: candidates and their parts, reasons to stop, the usage."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Count, count
from router.wire.tiers import tier_of

FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# Where a reason has no word in OpenAI's language: a call that could not be read, a picture that was not made.
_OTHERWISE = "stop"

# More than any model gives; a number beyond is a broken provider.
MAX_CHOICES = 128


class GivenBlob(msgspec.Struct, rename="camel", gc=False):
    mime_type: str = ""
    data: str = ""


class GivenCall(msgspec.Struct, gc=False):
    name: str = ""
    args: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None


class GivenPart(msgspec.Struct, rename="camel", gc=False):
    """What Google's own tools ran and found has no counterpart and is left out."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: GivenBlob | None = None
    function_call: GivenCall | None = None


class GivenContent(msgspec.Struct, gc=False):
    parts: list[GivenPart] | None = None


class GivenToken(msgspec.Struct, rename="camel", gc=False):
    token: str = ""
    log_probability: float = 0.0


class GivenTokens(msgspec.Struct, gc=False):
    candidates: list[GivenToken] = []


class GivenLogprobs(msgspec.Struct, rename="camel", gc=False):
    chosen_candidates: list[GivenToken] = []
    top_candidates: list[GivenTokens] = []


class GivenSource(msgspec.Struct, rename="camel", gc=False):
    start_index: int = 0
    end_index: int = 0
    uri: str = ""
    title: str = ""


class GivenCitations(msgspec.Struct, rename="camel", gc=False):
    """The same under Vertex's name and AI Studio's."""

    citations: list[GivenSource] = []
    citation_sources: list[GivenSource] = []


class GivenCandidate(msgspec.Struct, rename="camel", gc=False):
    content: GivenContent | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    url_context_metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    citation_metadata: GivenCitations | None = None
    logprobs_result: GivenLogprobs | None = None

    def parts(self) -> Sequence[GivenPart]:
        return (self.content.parts or ()) if self.content else ()


class PromptFeedback(msgspec.Struct, rename="camel", gc=False):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _ModalityCount(msgspec.Struct, rename="camel", gc=False):
    modality: str | None = None
    token_count: Count = None


_Modalities = list[_ModalityCount] | None


class Usage(msgspec.Struct, rename="camel", gc=False):
    """Gemini's count: thoughts beside the candidates, prompts of its own tools beside the prompt."""

    prompt_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    cached_content_token_count: Count = None
    total_token_count: Count = None
    prompt_tokens_details: _Modalities = None
    candidates_tokens_details: _Modalities = None
    cache_tokens_details: _Modalities = None
    tool_use_prompt_tokens_details: _Modalities = None
    # Texts, or what may come to be: AI Studio's word for the tier, and Vertex AI's.
    service_tier: object = None
    traffic_type: object = None

    def over(self, earlier: Usage) -> Usage:
        """This count, and an earlier one where this says nothing."""
        return Usage(*(getattr(earlier, name) if (own := getattr(self, name)) is None else own for name in _COUNTS))

    def tokens(self) -> common_pb2.TokenUsage | None:
        """As OpenAI counts, parts included in the totals; None when nothing was counted."""
        if self.prompt_token_count is None:
            return None
        prompt = count(self.prompt_token_count) + count(self.tool_use_prompt_token_count)
        said, thought = count(self.candidates_token_count), count(self.thoughts_token_count)
        # Some versions of Vertex have counted the thoughts among the candidates; the total tells.
        includes_thoughts = thought <= said and prompt + said == count(self.total_token_count)
        return common_pb2.TokenUsage(
            input_tokens=prompt,
            output_tokens=said if includes_thoughts else said + thought,
            cache_read_tokens=count(self.cached_content_token_count),
            reasoning_tokens=thought,
            cache_read_audio_tokens=_of("AUDIO", self.cache_tokens_details),
            input_audio_tokens=self._not_cached("AUDIO"),
            input_image_tokens=self._not_cached("IMAGE"),
            output_audio_tokens=_of("AUDIO", self.candidates_tokens_details),
            output_image_tokens=_of("IMAGE", self.candidates_tokens_details),
            service_tier=tier_of(self.service_tier) or tier_of(self.traffic_type),
        )

    def _not_cached(self, modality: str) -> int:
        """Of the input; its details tell of all that was read, from the cache too."""
        read = _of(modality, self.prompt_tokens_details) + _of(modality, self.tool_use_prompt_tokens_details)
        return max(0, read - _of(modality, self.cache_tokens_details))


def _of(modality: str, counts: _Modalities) -> int:
    return sum(count(each.token_count) for each in counts or () if each.modality == modality)


_COUNTS = Usage.__struct_fields__


class Answered(msgspec.Struct, rename="camel", gc=False):
    """A whole answer, or a piece of a stream."""

    candidates: list[GivenCandidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Usage | None = None
    model_version: str = ""
    response_id: str = ""
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def is_blocked(self) -> bool:
        """Whether the prompt was refused, so that there is no candidate."""
        return not self.candidates and self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)

    def refusal(self) -> str | None:
        """Why the prompt was refused, as far as it is said."""
        return self.prompt_feedback.block_reason_message if self.prompt_feedback else None


decoder = msgspec.json.Decoder(Answered)


def finish_reason_of(reason: str, *, has_calls: bool) -> str:
    """OpenAI's word for why a candidate ended."""
    found = FINISH_REASONS.get(reason, _OTHERWISE)
    return "tool_calls" if has_calls and found == "stop" else found


def blocked_usage(usage: common_pb2.TokenUsage | None) -> common_pb2.TokenUsage:
    """What a refused prompt has cost: what was counted, and nothing where nothing was."""
    return usage if usage is not None else common_pb2.TokenUsage()


def call_id(given: GivenCall, answer_id: str, at: int) -> str:
    """The id of the `at`th call of an answer: Gemini's own, else one that no other answer has."""
    return given.id or f"call_{answer_id}_{at}"


def logprobs_of(given: GivenLogprobs) -> dict[str, object]:
    """How likely the tokens were, in OpenAI's form."""
    content = []
    for at, chosen in enumerate(given.chosen_candidates):
        others = given.top_candidates[at].candidates if at < len(given.top_candidates) else []
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(other) for other in others]})
    return {"content": content, "refusal": None}


def _logprob(given: GivenToken) -> dict[str, object]:
    return {"token": given.token, "logprob": given.log_probability, "bytes": list(given.token.encode())}
