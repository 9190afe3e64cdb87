"""Who asks on an admin route. One question to the keystore for each request; nothing is remembered."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.v1 import keystore_pb2

from edge.admin.access import ROLES_OF_USERS, VIEWERS, Grant, Reach
from edge.auth import Credential
from services.methods import IDENTIFY
from services.transport import Channel

TIMEOUT_SECONDS = 10.0

# What changes that the master key made are signed with.
MASTER = "master"


@dataclass(frozen=True, slots=True)
class Caller:
    """The master key (`key` is None then), or a virtual key with the role and the memberships of its user.

    digest: of the secret that was shown, which may be the one before the present one.
    """

    key: keystore_pb2.Key | None = None
    digest: bytes = b""
    role: str = ""
    team_ids: frozenset[str] = frozenset()
    admin_team_ids: frozenset[str] = frozenset()
    organization_ids: frozenset[str] = frozenset()
    admin_organization_ids: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        """Whether everything is theirs to do."""
        return self.key is None or self.role == "proxy_admin"

    @property
    def user_id(self) -> str:
        """Of the key's user; empty: it has none."""
        return self.key.user_id if self.key is not None else ""

    @property
    def name(self) -> str:
        """As the audit log has it: a user id, or a key id."""
        return MASTER if self.key is None else self.key.user_id or self.key.key_id

    def reach(self, grant: Grant) -> Reach:
        """How far they get on a route that grants this. A false one: they may not use it at all."""
        if self.is_admin and Grant.ADMIN in grant:
            return Reach(everything=True)
        if self.key is None:
            return Reach()
        if self.role == "proxy_admin_viewer" and Grant.VIEWER in grant:
            return Reach(everything=True)
        if self.role in VIEWERS and Grant.VIEWER not in grant:
            # Whatever they are in teams and organisations: viewers change nothing.
            return Reach()
        teams: frozenset[str] = frozenset()
        if Grant.TEAM_ADMIN in grant:
            teams |= self.admin_team_ids
        if Grant.TEAM_MEMBER in grant:
            teams |= self.team_ids | self.admin_team_ids | {self.key.team_id}
        organizations = self.admin_organization_ids if Grant.ORGANIZATION_ADMIN in grant else frozenset()
        own = (Grant.USER in grant and self.role in ROLES_OF_USERS) or (
            Grant.USER_VIEWER in grant and self.role in (*ROLES_OF_USERS, "internal_user_viewer", "")
        )
        return Reach(
            organization_ids=organizations - {""},
            team_ids=teams - {""},
            user_id=self.key.user_id if own else "",
            key_id=self.key.key_id if Grant.KEY in grant else "",
        )


class Callers:
    """Asks the keystore who it is."""

    def __init__(self, keystore: Channel) -> None:
        self._keystore = keystore

    async def identify(self, credential: Credential) -> Caller:
        """Who shows this. GatewayError when it is no key, or one that is blocked or has expired."""
        if credential.master:
            return Caller()
        answer = await self._keystore.call(
            IDENTIFY, keystore_pb2.IdentifyRequest(digest=credential.digest), timeout_seconds=TIMEOUT_SECONDS
        )
        return Caller(
            key=answer.key,
            digest=credential.digest,
            role=answer.role,
            team_ids=frozenset(answer.team_ids),
            admin_team_ids=frozenset(answer.admin_team_ids),
            organization_ids=frozenset(answer.organization_ids),
            admin_organization_ids=frozenset(answer.admin_organization_ids),
        )
