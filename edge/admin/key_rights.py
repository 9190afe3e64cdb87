"""Whose keys a caller may see, make and change, and with what: by their reach, and the rights of the key that asks."""

from __future__ import annotations

from collections.abc import Container, Mapping

from gateway.v1 import keystore_pb2

from edge.admin.access import Reach
from edge.admin.allowed import AllowedModels
from edge.admin.endpoint import AdminRequest
from edge.admin.making import require
from edge.admin.owners import TEAM, Owners
from edge.admin.rights import Bound, beyond, inherit, refuse_beyond
from edge.admin.words import denied
from services.admin_defaults import AdminDefaults, KeyMaking
from services.allowed_routes import CALLS
from services.errors import GatewayError, Reason

# Of a key's own user: what it has to spend is for admins to say, and so is whether it may be used.
ADMINS_MEMBERS = frozenset(
    (
        *("max_budget", "soft_budget", "budget_duration", "budget_limits", "budget_id", "model_max_budget", "spend"),
        *("temp_budget_increase", "temp_budget_expiry", "blocked", "shadow"),
    )
)
# Who may make keys of a team, where the configuration does not say.
TEAM_ROLES = ("admin",)
_WHOSE = frozenset(("user_id", "team_id", "organization_id"))


class KeyRights:
    """Decides. What it has to know of teams and groups it asks the keystore."""

    def __init__(self, owners: Owners, allowed: AllowedModels, defaults: AdminDefaults) -> None:
        self._owners = owners
        self._allowed = allowed
        self._defaults = defaults

    async def covers(self, reach: Reach, key: keystore_pb2.Key) -> bool:
        """Whether a request gets to a key: it is theirs, or their team's or organisation's."""
        organization_id = key.organization_id
        if reach.organization_ids and not organization_id:
            organization_id = await self._organization_of(key.team_id)
        return reach.covers(
            key_id=key.key_id, user_id=key.user_id, team_id=key.team_id, organization_id=organization_id
        )

    async def check_covers(self, reach: Reach, key: keystore_pb2.Key, param: str = "key") -> None:
        """GatewayError when it does not."""
        if not await self.covers(reach, key):
            raise denied("this key is not yours.", param)

    async def may_make(
        self, request: AdminRequest, wanted: keystore_pb2.Key, expires_ms: int, body: Mapping[str, object]
    ) -> None:
        """GatewayError when the caller may not make this key; gives it the limits of the key that asks.

        expires_ms: when the key is to end; 0: never.
        """
        key = request.caller.key
        if request.reach.everything or key is None:
            return
        is_administered = await self._administers(request.reach, wanted)
        if not is_administered and not wanted.user_id:
            wanted.user_id = request.reach.user_id
        await self._check_whose(request, key, wanted)
        if not is_administered or wanted.team_id:
            require(body, self._making(wanted).required)
        if _is_anothers(request, wanted) and not wanted.allowed_routes:
            wanted.allowed_routes.append(CALLS)
        _check_acts_for_nobody_else(request, wanted)
        bound = await self._bound(key, wanted)
        inherit(bound, wanted)
        refuse_beyond(beyond(bound, wanted, expires_ms))

    async def may_change(
        self,
        request: AdminRequest,
        before: keystore_pb2.Key,
        after: keystore_pb2.Key,
        expires_ms: int,
        touched: Container[str],
        *,
        shows_secret: bool,
    ) -> None:
        """GatewayError when the caller may not make this of a key. touched: what the body names. shows_secret: the
        caller is to get a secret that opens with it."""
        key = request.caller.key
        if request.reach.everything or key is None:
            return
        await self.check_covers(request.reach, before)
        if any(name in touched for name in _WHOSE):
            await self._check_whose(request, key, after)
            await self._check_stays(request.reach, before, after)
        is_another = (before.user_id, before.allowed_routes) != (after.user_id, after.allowed_routes)
        if shows_secret or is_another:
            _check_acts_for_nobody_else(request, after)
        bounds = [await self._bound(key, after)]
        if not await self._administers(request.reach, before):
            idle = sorted(name for name in ADMINS_MEMBERS if name in touched)
            if idle:
                raise GatewayError(
                    Reason.ERROR_REASON_ROUTE_NOT_ALLOWED,
                    f"Only proxy admins, team admins, or org admins can change {', '.join(idle)} of a key. "
                    f"user_role={request.caller.role or 'unknown'}, user_id={key.user_id}",
                    param="None",
                )
            bounds.append(await self._bound(before, after))
        for bound in bounds:
            refuse_beyond(beyond(bound, after, expires_ms), touched)

    async def _administers(self, reach: Reach, key: keystore_pb2.Key) -> bool:
        """Whether a key is theirs to administer, and not only their own."""
        return await self.covers(Reach(team_ids=reach.team_ids, organization_ids=reach.organization_ids), key)

    async def _check_stays(self, reach: Reach, before: keystore_pb2.Key, after: keystore_pb2.Key) -> None:
        """Nobody takes a key away from what an organisation may spend but its admins."""
        was, becomes = [each.organization_id or await self._organization_of(each.team_id) for each in (before, after)]
        if was and was != becomes and was not in reach.organization_ids:
            raise denied("only an admin of its organisation takes a key out of it.", "organization_id")

    async def _check_whose(self, request: AdminRequest, key: keystore_pb2.Key, wanted: keystore_pb2.Key) -> None:
        """A key is made for oneself, in a team that one may make keys for, or by an admin of its organisation."""
        caller, reach = request.caller, request.reach
        of_team = await self._organization_of(wanted.team_id)
        organization_id = wanted.organization_id or of_team
        own = caller.organization_ids | caller.admin_organization_ids | {of_team, key.organization_id}
        if organization_id and organization_id not in own:
            raise denied("the organisation is not yours.", "organization_id")
        if of_team and wanted.organization_id not in ("", of_team):
            raise denied("the organisation is not that of the team.", "organization_id")
        if organization_id in reach.organization_ids or wanted.team_id in reach.team_ids:
            return
        # From here on it is for oneself.
        if not reach.user_id:
            raise denied("only an admin of the team may make keys for it.", "team_id")
        if wanted.user_id != reach.user_id:
            raise denied("a key may be made for its own user only.", "user_id")
        making = self._making(wanted)
        if wanted.team_id:
            _check_member(making, wanted.team_id in caller.team_ids)
        else:
            if key.team_id:
                raise denied("a key of a team makes keys of this team only.", "team_id")
            if making.roles is not None and caller.role not in making.roles:
                raise denied(f"the role {caller.role} makes no personal keys.", "user_id")

    def _making(self, wanted: keystore_pb2.Key) -> KeyMaking:
        return self._defaults.team_keys if wanted.team_id else self._defaults.personal_keys

    async def _organization_of(self, team_id: str) -> str:
        """Empty: of no team, or of one that is in none."""
        team = (await self._owners.named(TEAM, [team_id])).get(team_id)
        return team.organization_id if team is not None else ""

    async def _bound(self, key: keystore_pb2.Key, wanted: keystore_pb2.Key) -> Bound:
        lists = (key.terms.models, wanted.terms.models, wanted.aliases.values())
        budgets = await self._owners.budgets_of([key.terms, wanted.terms])
        return Bound(key, await self._allowed.groups(*lists), budgets)


def _check_member(making: KeyMaking, is_member: bool) -> None:
    if not (is_member and "user" in (making.roles or TEAM_ROLES)):
        raise denied("only an admin of the team may make keys for it.", "team_id")


def _is_anothers(request: AdminRequest, key: keystore_pb2.Key) -> bool:
    return bool(key.user_id) and key.user_id != request.caller.user_id


def _check_acts_for_nobody_else(request: AdminRequest, key: keystore_pb2.Key) -> None:
    """On admin routes a key is as good as its user: whoever knows its secret could do what that user may, now or when
    they are more. So a key that somebody makes for another user is for calls."""
    if _is_anothers(request, key) and list(key.allowed_routes) != [CALLS]:
        raise denied(f"a key of another user is for calls only: its allowed_routes are ['{CALLS}'].", "allowed_routes")
