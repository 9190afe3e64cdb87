"""A caller's Chat Completions body as a request to Ollama's chat.

How the model runs and samples is in `options`. Ollama's own members are taken too, those of `options` also beside it,
and win over OpenAI's word for the same thing. What has no counterpart is refused, or dropped where `drop_params` says
so, unless it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.asked import messages_of, tool_choice_of, tools_of
from router.wire.base import HttpRequest
from router.wire.functions import FunctionTool, function_tool
from router.wire.http import post
from router.wire.members import FLAG, NUMBER, RAWS, TEXT, Members, invalid, read
from router.wire.ollama.messages import turns_of
from router.wire.params import (
    ignored_beside,
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    stop_of,
    wants_tier,
    wants_usage,
)

# Options that are called the same in both languages, or that callers of other servers of open models know.
_SAMPLING = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
# Ollama's own options.
_OPTIONS = (
    *("low_vram", "main_gpu", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "num_batch", "num_ctx", "num_gpu"),
    *("num_keep", "num_predict", "num_thread", "numa", "penalize_newline", "repeat_last_n", "repeat_penalty"),
    *("tfs_z", "typical_p", "use_mlock", "use_mmap"),
)
# Its own members beside the options.
_OWN = ("format", "keep_alive", "shift", "think", "truncate")

# How much a model shall think, where it knows levels; the others know only whether.
_LEVELS: Mapping[str, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_WITH_LEVELS = "gpt-oss"
_DISABLED = msgspec.Raw(b'"disabled"')

_limit_decoder = msgspec.json.Decoder(int | float | None)

# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {
    "logit_bias": {},
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "store": False,
}


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    turns = turns_of(messages_of(members))
    refuse_several_choices(members, "Ollama")
    tools, forced = _tools(members)
    show_usage = wants_usage(members)
    other_tier = wants_tier(members)
    logprobs = members.take("logprobs", FLAG)
    sent: dict[str, object] = {
        "model": deployment.provider_model,
        "messages": turns,
        "tools": tools or None,
        "format": _format(members),
        "options": _options(members, output_tokens_limit),
        "think": _think(members, deployment.provider_model),
        "logprobs": logprobs,
        "top_logprobs": members.take("top_logprobs", NUMBER),
        # Unlike everybody else's, its default is to stream.
        "stream": stream,
        **members.take_raws(_OWN),
    }
    untaken = members.untaken(_NEUTRAL, ignored_beside(len(tools)))
    untaken += [name for name, asked in (("tool_choice", forced), ("service_tier", other_tier)) if asked]
    members.leave_out("Ollama", untaken)
    return post(
        _url(deployment.api_base),
        msgspec.json.encode(members.completed(sent)),
        deployment,
        stream=stream,
        show_usage=show_usage,
        dropped=tuple(members.dropped),
        accept="application/x-ndjson" if stream else "",
    )


def _tools(members: Members) -> tuple[list[FunctionTool], bool]:
    """The tools, and whether the caller demands a call, which Ollama cannot."""
    functions = tools_of(members, "Ollama")
    choice = tool_choice_of(members)
    mode = choice.mode if choice is not None and functions else "auto"
    # Tools that are not there are not called.
    given = [] if mode == "none" else functions
    return [function_tool(function) for function in given], mode in ("required", "function")


def _format(members: Members) -> object:
    wanted = response_format_of(members)
    if wanted is None:
        return None
    return "json" if wanted.schema is None else wanted.schema


def _options(members: Members, hold_limit: int) -> dict[str, object] | None:
    own = members.take_raws(_OPTIONS)
    within = members.take("options", RAWS)
    own |= within or {}
    asked: dict[str, object] = {name: members.take(name, NUMBER) for name in _SAMPLING}
    asked["num_predict"] = output_limit_of(members, hold_limit) or None
    asked["stop"] = stop_of(members) or None
    options = {name: value for name, value in asked.items() if value is not None} | own
    reckoned = asked["num_predict"]
    if isinstance(reckoned, int) and "num_predict" in own:
        limit = read(_limit_decoder, own["num_predict"], "options.num_predict")
        # What admission has reckoned with is not exceeded, whatever the caller calls it; -1 and -2 are endless there.
        options["num_predict"] = limit if limit is not None and 0 < limit <= reckoned else reckoned
    return options or None


def _think(members: Members, model: str) -> bool | str | None:
    """`reasoning_effort`, or `thinking` in Anthropic's words, which wins; None: the model's default."""
    config = members.take("thinking", RAWS)
    effort = members.take("reasoning_effort", TEXT)
    if effort is not None and effort not in _LEVELS and effort != "none":
        raise invalid(f"Invalid reasoning_effort: it must be none or one of {', '.join(_LEVELS)}.", "reasoning_effort")
    if config is not None:
        return config.get("type") != _DISABLED
    if effort is None:
        return None
    if effort == "none":
        return False
    return _LEVELS[effort] if _WITH_LEVELS in model.lower() else True


def _url(api_base: str) -> str:
    """A base may be the whole address, or LiteLLM's other one, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix("/chat").removesuffix("/generate").removesuffix("/api")
    return f"{base}/api/chat"
