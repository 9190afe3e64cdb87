"""What is tried for a call, and what may follow a failure: groups in their order, retries and their pauses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.errors import GatewayError, Next, Reason

# LiteLLM's: the first pause doubles with every further one, up to the last; a little chance keeps callers apart.
FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 8.0
JITTER_SECONDS = 0.75
# A provider that asks for a longer pause is not waited for: the caller would be gone.
LONGEST_ASKED_PAUSE_SECONDS = 60.0

# Failures that another model may not share. What the gateway itself refuses (money, a bad body) no group changes.
_OF_THE_PROVIDER = frozenset(
    (
        Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
        Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION,
        Reason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_TIMEOUT,
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
        Reason.ERROR_REASON_PROVIDER_NOT_FOUND,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
        Reason.ERROR_REASON_PROVIDER_REJECTED,
        Reason.ERROR_REASON_NO_DEPLOYMENT_AVAILABLE,
        # Another group may be cheaper than what is left.
        Reason.ERROR_REASON_BUDGET_EXCEEDED,
    )
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls are routed, from `router_settings`.

    aliases: the groups that another name stands for, in order. fallbacks: of a group, in order; `*`: of any that has
    none of its own. max_fallbacks: groups tried after the first.
    """

    num_retries: int = 2
    retry_after_seconds: float = 0.0
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_fallbacks: int = 5
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def groups_to_try(model: str, policy: Policy, known: Collection[str]) -> Sequence[str]:
    """The model groups for a name, each once, in the order in which they are tried; empty: nobody knows the name.

    An alias's further groups come before fallbacks, and the fallbacks of a group before those of its fallbacks.
    """
    waiting = list(policy.aliases.get(model, (model,)))
    chain: list[str] = []
    seen = {model} if model in policy.aliases else set()
    while waiting and len(chain) <= policy.max_fallbacks:
        group = waiting.pop(0)
        if group in seen:
            continue
        seen.add(group)
        if group in known:
            chain.append(group)
        waiting += policy.fallbacks.get(group, policy.fallbacks.get("*", ()))
    return chain


def may_fall_back(error: GatewayError) -> bool:
    """Whether another group is worth trying."""
    return error.reason in _OF_THE_PROVIDER


def may_try_another(error: GatewayError) -> bool:
    """Whether another deployment of the group is worth trying."""
    return error.meaning.next is not Next.GIVE_UP


def may_repeat(error: GatewayError) -> bool:
    """Whether the same deployment may answer after a pause."""
    if error.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED:
        return (error.retry_after_seconds or 0.0) <= LONGEST_ASKED_PAUSE_SECONDS
    return error.meaning.next is Next.RETRY


def pause_seconds(error: GatewayError, repeats: int, policy: Policy, chance: float) -> float:
    """How long to wait before the same deployments are tried again, for the n-th time (from 0); chance: 0 to 1."""
    asked = error.retry_after_seconds or 0.0
    jitter = JITTER_SECONDS * chance
    if 0 < asked <= LONGEST_ASKED_PAUSE_SECONDS:
        return asked + jitter
    doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(repeats, 10)
    return min(LAST_PAUSE_SECONDS, max(policy.retry_after_seconds, doubled)) + jitter
