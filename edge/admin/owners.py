"""The keystore's owners, as handlers of admin paths ask for them: with limits, and with errors in callers' words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from gateway.v1 import keystore_pb2

from services.allowed_models import Groups
from services.errors import GatewayError, Reason
from services.methods import CREATE_OWNER, DELETE_OWNERS, GET_OWNERS, LIST_OWNERS, UPDATE_OWNER
from services.transport import Channel

# An admin waits longer than a call: the keystore may be catching up with PostgreSQL.
TIMEOUT_SECONDS = 10.0
# Of each of a page what it has spent may have to be summed.
LIST_TIMEOUT_SECONDS = 60.0
# The keystore gives and takes no more at once; with spend fewer.
MAX_PAGE = 1_000
MAX_SPEND_PAGE = 100
# One answer lists no more: some tens of MB.
MAX_LISTED = 10_000

# As much of a name as an error repeats.
MAX_NAME_CHARS = 100

Owner = keystore_pb2.Owner
# What listed owners must have, by members of ListOwnersRequest.
Filters = Mapping[str, str]
_NO_FILTERS: Filters = {}

USER = keystore_pb2.OWNER_KIND_USER
TEAM = keystore_pb2.OWNER_KIND_TEAM
TEAM_MEMBER = keystore_pb2.OWNER_KIND_TEAM_MEMBER
CUSTOMER = keystore_pb2.OWNER_KIND_CUSTOMER
ORGANIZATION = keystore_pb2.OWNER_KIND_ORGANIZATION
ORGANIZATION_MEMBER = keystore_pb2.OWNER_KIND_ORGANIZATION_MEMBER
BUDGET = keystore_pb2.OWNER_KIND_BUDGET
TAG = keystore_pb2.OWNER_KIND_TAG
ACCESS_GROUP = keystore_pb2.OWNER_KIND_ACCESS_GROUP

# What each is called, and the parameter that names one.
NOUNS: Mapping[int, tuple[str, str]] = {
    USER: ("User", "user_id"),
    TEAM: ("Team", "team_id"),
    TEAM_MEMBER: ("Team member", "user_id"),
    CUSTOMER: ("End User", "user_id"),
    ORGANIZATION: ("Organization", "organization_id"),
    ORGANIZATION_MEMBER: ("Organization member", "user_id"),
    BUDGET: ("Budget", "budget_id"),
    TAG: ("Tag", "name"),
    ACCESS_GROUP: ("Access group", "access_group"),
}


def member_id(owner_id: str, user_id: str) -> str:
    """The id of a user's membership in a team or an organisation."""
    return f"{quote(owner_id, safe='')}/{quote(user_id, safe='')}"


def not_found(kind: keystore_pb2.OwnerKind, name: str) -> GatewayError:
    """There is no such owner."""
    noun, param = NOUNS[kind]
    return GatewayError(
        Reason.ERROR_REASON_NOT_FOUND, f"{noun} not found, passed {param}={name[:MAX_NAME_CHARS]}", param=param
    )


class Owners:
    """Asks the keystore."""

    def __init__(self, keystore: Channel) -> None:
        self._keystore = keystore

    async def create(self, owner: Owner, changed_by: str) -> Owner:
        """A new one. CONFLICT: its id is taken."""
        asked = keystore_pb2.CreateOwnerRequest(owner=owner, changed_by=changed_by)
        return (await self._keystore.call(CREATE_OWNER, asked, timeout_seconds=TIMEOUT_SECONDS)).owner

    async def update(self, owner: Owner, members: Sequence[str], changed_by: str) -> Owner:
        """Change these members of one."""
        asked = keystore_pb2.UpdateOwnerRequest(owner=owner, members=members, changed_by=changed_by)
        return (await self._keystore.call(UPDATE_OWNER, asked, timeout_seconds=TIMEOUT_SECONDS)).owner

    async def delete(self, kind: keystore_pb2.OwnerKind, ids: Sequence[str], changed_by: str) -> None:
        """Remove some for good, all or none."""
        asked = keystore_pb2.DeleteOwnersRequest(kind=kind, ids=ids, changed_by=changed_by)
        await self._keystore.call(DELETE_OWNERS, asked, timeout_seconds=TIMEOUT_SECONDS)

    async def one(self, kind: keystore_pb2.OwnerKind, owner_id: str, *, with_spend: bool = False) -> Owner:
        """One that must be there; else NOT_FOUND."""
        found = await self.named(kind, [owner_id], with_spend=with_spend) if owner_id else {}
        if owner_id not in found:
            raise not_found(kind, owner_id)
        return found[owner_id]

    async def named(
        self, kind: keystore_pb2.OwnerKind, ids: Iterable[str], *, with_spend: bool = False
    ) -> Mapping[str, Owner]:
        """Those that are there, by id; at most MAX_LISTED are asked for."""
        wanted = [each for each in dict.fromkeys(ids) if each][:MAX_LISTED]
        size = MAX_SPEND_PAGE if with_spend else MAX_PAGE
        answers = await asyncio.gather(
            *(
                self._keystore.call(
                    GET_OWNERS,
                    keystore_pb2.GetOwnersRequest(kind=kind, ids=wanted[start : start + size], with_spend=with_spend),
                    timeout_seconds=LIST_TIMEOUT_SECONDS if with_spend else TIMEOUT_SECONDS,
                )
                for start in range(0, len(wanted), size)
            )
        )
        return {owner.id: owner for answer in answers for owner in answer.owners}

    async def page(
        self,
        kind: keystore_pb2.OwnerKind,
        page: int,
        size: int,
        *,
        with_spend: bool = True,
        filters: Filters = _NO_FILTERS,
    ) -> tuple[Sequence[Owner], int]:
        """A page, the newest first, and how many there are on all."""
        asked = keystore_pb2.ListOwnersRequest(kind=kind, page=page, size=size, with_spend=with_spend)
        for name, value in filters.items():
            setattr(asked, name, value)
        answer = await self._keystore.call(LIST_OWNERS, asked, timeout_seconds=LIST_TIMEOUT_SECONDS)
        return answer.owners, answer.total_count

    async def every(self, kind: keystore_pb2.OwnerKind, *, with_spend: bool = False, **filters: str) -> list[Owner]:
        """All of a kind, at most MAX_LISTED. filters: as of `page`."""
        size = MAX_SPEND_PAGE if with_spend else MAX_PAGE
        owners: list[Owner] = []
        while len(owners) < MAX_LISTED:
            page = len(owners) // size + 1
            more, total = await self.page(kind, page, size, with_spend=with_spend, filters=filters)
            owners += more
            if len(more) < size or len(owners) >= total:
                break
        return owners

    async def budgets_of(self, terms: Iterable[keystore_pb2.Terms]) -> Mapping[str, Owner]:
        """The budgets that terms refer to, by id."""
        return await self.named(BUDGET, (each.budget_id for each in terms))

    async def groups_of(self, *lists: Iterable[str]) -> Groups:
        """What the names in these lists stand for that are names of groups of models."""
        names = [name for each in lists for name in each if "*" not in name]
        found = await self.named(ACCESS_GROUP, names)
        return {name: frozenset(group.terms.models) for name, group in found.items()}

    async def user_named(self, user_id: str | None, email: str | None) -> Owner | None:
        """A user by id, or by an email address that is theirs alone."""
        if user_id:
            return (await self.named(USER, [user_id])).get(user_id)
        if not email:
            return None
        owners, _ = await self.page(USER, 1, MAX_PAGE, with_spend=False, filters={"email": email})
        return next((owner for owner in owners if owner.email.lower() == email.lower()), None)
