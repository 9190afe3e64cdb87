"""What the configuration says of those who have no terms of their own. Pure."""

from __future__ import annotations

from datetime import UTC, tzinfo

import msgspec

from keystore.policy.terms import NONE, Terms


class Defaults(msgspec.Struct, frozen=True):
    """gateway: of all calls together. key, user, team, customer: of each that has none; but for a key it may be one of
    whom only the name is known. user_pays_for_team_keys: a user's budget is for calls with team keys too. strict: calls
    that nothing bounds are refused where a budget applies. zone: of the periods of budgets."""

    gateway: Terms = NONE
    key: Terms = NONE
    user: Terms = NONE
    team: Terms = NONE
    customer: Terms = NONE
    user_pays_for_team_keys: bool = False
    strict: bool = False
    zone: tzinfo = UTC
