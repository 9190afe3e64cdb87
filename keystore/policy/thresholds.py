"""When a budget's owner is to be told of, and in which words. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from gateway.v1.ledger_pb2 import Alert

from keystore.policy.scopes import Whose, parse
from keystore.policy.standing import Account
from services.alerting import BUDGETS
from services.money import usd_from_nano, usd_text

# Parts of a budget, in percent, the largest first; LiteLLM's are 85 and 95, and what is over.
PERCENTS = (100, 95, 85)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As a text names whose budget it is, and LiteLLM's `event_group`.
_WHOSE: Mapping[Whose, tuple[str, str]] = {
    Whose.KEY: ("Key", "key"),
    Whose.KEY_MODEL: ("Key and model", "key"),
    Whose.USER: ("User", "user"),
    Whose.PERSONAL: ("User", "user"),
    Whose.TEAM: ("Team", "team"),
    Whose.TEAM_MODEL: ("Team and model", "team"),
    Whose.MEMBER: ("Team member", "team_member"),
    Whose.CUSTOMER: ("Customer", "customer"),
    Whose.ORGANIZATION: ("Organization", "organization"),
    Whose.TAG: ("Tag", "tag"),
    Whose.GATEWAY: ("The whole gateway", "proxy"),
}
# What of an event the ids of a scope are. A key's id is none of them: it finds the key.
_MEMBERS: Mapping[Whose, tuple[str, ...]] = {
    Whose.USER: ("user_id",),
    Whose.PERSONAL: ("user_id",),
    Whose.TEAM: ("team_id",),
    Whose.TEAM_MODEL: ("team_id", "model"),
    Whose.MEMBER: ("team_id", "user_id"),
    Whose.CUSTOMER: ("customer_id",),
    Whose.ORGANIZATION: ("organization_id",),
    Whose.TAG: ("tag",),
}
_MAX_NAME_CHARS = 200


class Crossed(msgspec.Struct, frozen=True, gc=False):
    """A threshold. percent: of the budget; 0: the soft budget. nano_usd: what it is a part of."""

    percent: int
    nano_usd: int


def crossed(account: Account, spent_nano_usd: int, *, refuses: bool = False) -> list[Crossed]:
    """The thresholds that are to be told of: the highest of the budget, and the soft one.

    spent_nano_usd: in this period. refuses: what is spent alone keeps calls from being made.
    """
    found: list[Crossed] = []
    cap = account.cap_nano_usd
    if account.counts:
        at = next((each for each in PERCENTS if cap and spent_nano_usd * 100 >= cap * each), 0)
        if at or refuses:
            found.append(Crossed(100 if refuses else at, cap))
    soft = account.soft_nano_usd
    if soft is not None and spent_nano_usd >= soft > 0:
        found.append(Crossed(0, soft))
    return found


def alert_of(account: Account, threshold: Crossed, spent_nano_usd: int) -> Alert:
    """What is told. The same threshold of the same budget in the same period has the same key."""
    group, name = _WHOSE[account.whose][1], " ".join(account.name[:_MAX_NAME_CHARS].split())
    whose = f"{_WHOSE[account.whose][0]} {name}".rstrip()
    spent, cap = usd_text(spent_nano_usd), usd_text(threshold.nano_usd)
    if not threshold.percent:
        title, event = f"{whose}: the soft budget is crossed", "soft_budget_crossed"
    elif threshold.percent == 100:
        title, event = f"{whose}: the budget is used up", "budget_crossed"
    else:
        title, event = f"{whose}: {threshold.percent} % of the budget is spent", "threshold_crossed"
    what = "soft budget" if not threshold.percent else "budget"
    lines = [f"Spent ${spent} of a {what} of ${cap}."]
    if account.end_ms:
        lines.append(f"It begins anew at {_EPOCH + timedelta(milliseconds=account.end_ms):%Y-%m-%d %H:%M} UTC.")
    scope = account.budget.scope
    told = hashlib.sha256(f"{scope} {threshold.nano_usd}".encode()).hexdigest()
    return Alert(
        key=f"{event}:{threshold.percent}:{told}",
        type=BUDGETS,
        title=title,
        text="\n".join(lines),
        event_json=_event(account, threshold, spent_nano_usd, event, group),
    )


def _event(account: Account, threshold: Crossed, spent_nano_usd: int, event: str, group: str) -> str:
    """LiteLLM's object; `token` is never told."""
    scope = parse(account.budget.scope)
    members: dict[str, object] = dict.fromkeys(
        (
            *("max_budget", "soft_budget", "token", "customer_id", "user_id", "team_id", "team_alias"),
            *("organization_id", "user_email", "key_alias", "projected_exceeded_date", "projected_spend"),
        )
    )
    members |= zip(_MEMBERS.get(account.whose, ()), scope.ids, strict=False)
    members["spend"] = usd_from_nano(spent_nano_usd)
    if account.counts:
        members["max_budget"] = usd_from_nano(account.cap_nano_usd)
    if account.soft_nano_usd is not None:
        members["soft_budget"] = usd_from_nano(account.soft_nano_usd)
    if account.whose in (Whose.KEY, Whose.KEY_MODEL):
        members["key_name"] = account.name
    members |= {"event": event, "event_group": group, "percent": threshold.percent or None}
    return msgspec.json.encode(members).decode()
