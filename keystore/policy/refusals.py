"""How budgets and limits that are reached are told, in LiteLLM's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from gateway.v1 import keystore_pb2

from keystore.policy.limits import rows
from keystore.policy.operations import Exceeded, Limited, Rate, Use
from keystore.policy.scopes import Whose
from keystore.policy.standing import Account, Bound
from services.errors import GatewayError, Reason
from services.money import usd_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# LiteLLM's words for what is limited, which clients look for, and the members of RateLimits.
NAMES = {Rate.REQUESTS: "requests", Rate.TOKENS: "tokens", Rate.PARALLEL: "max_parallel_requests"}
_MEMBERS = {Rate.REQUESTS: "requests", Rate.TOKENS: "tokens", Rate.PARALLEL: "parallel"}

# And for whom it is limited.
SCOPES: Mapping[Whose, str] = {
    Whose.KEY: "api_key",
    Whose.KEY_MODEL: "model_per_key",
    Whose.USER: "user",
    Whose.PERSONAL: "user",
    Whose.TEAM: "team",
    Whose.TEAM_MODEL: "model_per_team",
    Whose.MEMBER: "team_member",
    Whose.CUSTOMER: "end_user",
    Whose.ORGANIZATION: "organization",
    Whose.TAG: "tag",
}

_OVER = "Budget has been exceeded!{whose} Current cost: {spent}, Max budget: {cap}"
_OVER_BUDGET = "ExceededBudget: {whose} over budget. Spend={spent}, Budget={cap}"
# How a budget that is exceeded is told, and whose it is.
_TEXTS: Mapping[Whose, tuple[str, str]] = {
    Whose.KEY: (_OVER, " Key=key ({name})"),
    Whose.KEY_MODEL: (_OVER, " Key and model={name}"),
    Whose.USER: (_OVER_BUDGET, "User={name}"),
    Whose.PERSONAL: (_OVER_BUDGET, "User={name}"),
    Whose.TEAM: (_OVER, " Team={name}"),
    Whose.TEAM_MODEL: (_OVER, " Team and model={name}"),
    Whose.MEMBER: (_OVER, " TeamMember={name}"),
    Whose.CUSTOMER: (_OVER_BUDGET, "End User={name}"),
    Whose.ORGANIZATION: (_OVER, " Organization={name}"),
    Whose.TAG: (_OVER, " Tag={name}"),
    Whose.GATEWAY: (_OVER, ""),
}

# When a call ends is not known; sooner than this it is not worth asking.
PARALLEL_RETRY_SECONDS = 1.0


def budget_refusal(exceeded: Exceeded, account: Account) -> GatewayError:
    """Why there is no money: this account has too little left for the least that the call may cost."""
    form, whose = _TEXTS[account.whose]
    text = form.format(
        whose=whose.format(name=account.name),
        spent=usd_text(account.before_nano_usd + exceeded.spent_nano_usd),
        cap=usd_text(account.cap_nano_usd),
    )
    if exceeded.held_nano_usd:
        text += f", held for calls under way: {usd_text(exceeded.held_nano_usd)}"
    return GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, text)


def limit_refusal(limited: Limited, bound: Bound, tokens: int, now_ms: int) -> GatewayError:
    """Why a call has to wait, and for how long; of a key the name, where LiteLLM has a hash."""
    rate, left_ms = limited.rate, limited.use.left_ms
    whose = "the whole gateway" if bound.whose is Whose.GATEWAY else f"{SCOPES[bound.whose]}: {bound.name}"
    most, used = rows(limited.limit, limited.use)[rate]
    text = (
        f"Rate limit exceeded for {whose}. Limit type: {NAMES[rate]}. Current limit: {most}, "
        f"Remaining: {max(0, (most or 0) - used)}."
    )
    retry_after_seconds: float | None = left_ms / 1000
    if not most:
        retry_after_seconds = None  # it never lets anything pass
    elif rate is Rate.PARALLEL:
        text += " A call has to end first."
        retry_after_seconds = PARALLEL_RETRY_SECONDS
    else:
        resets = _EPOCH + timedelta(seconds=round((now_ms + left_ms) / 1000))
        text += f" Limit resets at: {resets:%Y-%m-%d %H:%M:%S} UTC"
        if rate is Rate.TOKENS:
            text += f". This call is estimated at {tokens} tokens."
    return GatewayError(Reason.ERROR_REASON_RATE_LIMITED, text, retry_after_seconds=retry_after_seconds)


def tell(told: keystore_pb2.RateLimits, bound: Bound, use: Use, exceeded: Rate | None = None) -> None:
    """Say how it stands with somebody's limits; what all calls together do is nobody's business."""
    if bound.whose is Whose.GATEWAY:
        return
    for rate, (most, used) in rows(bound.limit, use).items():
        if most is not None:
            setattr(told, f"{_MEMBERS[rate]}_limit", most)
            setattr(told, f"{_MEMBERS[rate]}_remaining", max(0, most - used))
    told.reset_ms = use.left_ms
    told.scope = SCOPES[bound.whose]
    if exceeded is not None:
        told.exceeded = NAMES[exceeded]
