"""The control plane: whom calls are counted to beside keys, and the audit log, for administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.v1 import keystore_pb2
from google.protobuf.message import Message

from keystore.announcer import Announcer
from keystore.change import Change
from keystore.checks import MAX_MILLIS, check_texts, invalid, is_short
from keystore.dependents import dependents_of
from keystore.owner_members import IDENTITY, changed, check, check_members, id_of, is_id, kind_of, new_row, shown
from keystore.policy.operations import Balance
from keystore.policy.owners import Kind, Owner
from keystore.policy.standing import Standings
from keystore.references import demand, demand_budget, make_user, not_found
from keystore.rows import AuditRow, OwnerRow
from keystore.spending import Spending
from keystore.store import Store
from keystore.store_audit import WantedChanges
from keystore.store_owners import WantedOwners
from services.durations import parse, period_at
from services.errors import GatewayError, Reason, unavailable
from services.methods import CREATE_OWNER, DELETE_OWNERS, GET_OWNERS, LIST_CHANGES, LIST_OWNERS, UPDATE_OWNER
from services.transport import Handlers

# Of one question, and of one page; what each has spent may have to be summed.
MAX_IDS = 1_000
MAX_WITH_SPEND = 100
MAX_PAGES = 1_000_000
# Lines of the audit log, if nobody says how many.
CHANGES_PAGE = 100
# Of one answer: half of what gRPC takes.
MAX_ANSWER_BYTES = 1024 * 1024
# A change is tried so often when others change the same owner meanwhile; each time one of them has got through.
MAX_TRIES = 20

MessageT = TypeVar("MessageT", bound=Message)


class OwnersService:
    """Offers the RPCs of Owners. Each change is announced before it is answered: it holds from the next admission on.

    new_id: makes an id that was never used before.
    """

    def __init__(
        self,
        *,
        store: Store,
        announcer: Announcer,
        spending: Spending,
        standings: Standings,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._spending = spending
        self._standings = standings
        self._new_id = new_id
        self._now_ms = now_ms

    @property
    def handlers(self) -> Handlers:
        """Each RPC's."""
        return {
            CREATE_OWNER: self.create,
            GET_OWNERS: self.get,
            LIST_OWNERS: self.list,
            UPDATE_OWNER: self.update,
            DELETE_OWNERS: self.delete,
            LIST_CHANGES: self.list_changes,
        }

    async def create(self, request: keystore_pb2.CreateOwnerRequest) -> keystore_pb2.CreateOwnerResponse:
        """Make one. UNAVAILABLE, and nothing is made: the ledger does not say what it has spent that gets a budget."""
        kind, by, now_ms = kind_of(request.owner.kind), request.changed_by, self._now_ms()
        check(kind, request.owner)
        check_texts({"changed_by": by})
        row = new_row(kind, id_of(kind, request.owner, self._new_id()), request.owner, by=by, now_ms=now_ms)
        await self._spending.begin_budgets_of_owner(None, row.owner)
        async with self._store.change(by, now_ms) as change:
            if await change.owner(kind, row.owner.id) is not None:
                raise GatewayError(
                    Reason.ERROR_REASON_CONFLICT,
                    f"There is a {kind.value.replace('_', ' ')} with the id '{row.owner.id}' already.",
                    param="id",
                )
            await self._demand_others(change, row.owner)
            if kind in IDENTITY:
                await make_user(change, row.owner.user_id, by, now_ms)
            await change.write_owner(None, row, "created")
        await self._announcer.announce_if_possible(change.version)
        return keystore_pb2.CreateOwnerResponse(owner=self._shown(row, await self._balance_if_known(row.owner)))

    async def get(self, request: keystore_pb2.GetOwnersRequest) -> keystore_pb2.GetOwnersResponse:
        """Some of one kind, in the order of their ids."""
        kind, most = kind_of(request.kind), MAX_WITH_SPEND if request.with_spend else MAX_IDS
        ids = list(dict.fromkeys(request.ids))
        if len(ids) > most:
            raise invalid(f"Name at most {most}.", "ids")
        rows = {row.owner.id: row for row in await self._store.owners.find(kind, list(filter(is_id, ids)))}
        found = [rows[each] for each in ids if each in rows]
        return _fitting(keystore_pb2.GetOwnersResponse(owners=await self._all_shown(found, request.with_spend)))

    async def list(self, request: keystore_pb2.ListOwnersRequest) -> keystore_pb2.ListOwnersResponse:
        """A page of one kind, the newest first."""
        kind, most = kind_of(request.kind), MAX_WITH_SPEND if request.with_spend else MAX_IDS
        if not (1 <= request.size <= most and 1 <= request.page <= MAX_PAGES):
            raise invalid(f"A page has 1 to {most} of them, and there are at most {MAX_PAGES}.", "page")
        names = ("alias", "user_id", "team_id", "organization_id", "role", "email", "budget_id")
        asked = {name: getattr(request, name) or None for name in names}
        if not all(is_short(value) for value in asked.values() if value):
            return keystore_pb2.ListOwnersResponse()
        wanted = WantedOwners(kind, **asked)
        rows, count = await self._store.owners.page(wanted, request.size, (request.page - 1) * request.size)
        owners = await self._all_shown(rows, request.with_spend)
        return _fitting(keystore_pb2.ListOwnersResponse(owners=owners, total_count=count))

    async def update(self, request: keystore_pb2.UpdateOwnerRequest) -> keystore_pb2.UpdateOwnerResponse:
        """Change members of one. UNAVAILABLE: it is stored, and holds everywhere within a second or so; or nothing has
        changed, for the ledger does not say what it has spent that is to get a budget."""
        row, version = await self._change(request)
        await self._announcer.announce(version)
        return keystore_pb2.UpdateOwnerResponse(owner=self._shown(row, await self._balance_if_known(row.owner)))

    async def delete(self, request: keystore_pb2.DeleteOwnersRequest) -> keystore_pb2.DeleteOwnersResponse:
        """Remove some of one kind, all or none, and what cannot be without them. UNAVAILABLE as for `update`."""
        kind, ids = kind_of(request.kind), list(dict.fromkeys(request.ids))
        if not 0 < len(ids) <= MAX_IDS:
            raise invalid(f"Name between 1 and {MAX_IDS}.", "ids")
        check_texts({"changed_by": request.changed_by})
        async with self._store.change(request.changed_by, self._now_ms()) as change:
            rows = await change.owners.find(kind, list(filter(is_id, ids)))
            gone = set(ids) - {row.owner.id for row in rows}
            if gone:
                raise not_found(kind, min(gone), "ids")
            keys, owners = await dependents_of(change, kind, rows)
            await change.delete_keys(keys)
            await change.delete_owners(owners)
            await change.delete_owners(rows)
        await self._announcer.announce(change.version)
        return keystore_pb2.DeleteOwnersResponse(ids=request.ids)

    async def list_changes(self, request: keystore_pb2.ListChangesRequest) -> keystore_pb2.ListChangesResponse:
        """A page of the audit log, the newest first; shorter than asked for when more would not fit into an answer."""
        size = request.size or CHANGES_PAGE
        if not 1 <= size <= MAX_IDS:
            raise invalid(f"A page has 1 to {MAX_IDS} changes.", "size")
        if not all(0 <= each <= MAX_MILLIS for each in (request.start_ms, request.end_ms)) or request.before_id < 0:
            raise invalid("A time is in milliseconds since the epoch, before the year 10000.", "start_ms")
        texts = (request.changed_by, request.object_kind, request.action)
        if not (all(map(is_short, texts)) and is_id(request.object_id or "-")):
            return keystore_pb2.ListChangesResponse()
        wanted = WantedChanges(
            before_id=request.before_id or None,
            changed_by=request.changed_by or None,
            object_kind=request.object_kind or None,
            object_id=request.object_id or None,
            action=request.action or None,
            start_ms=request.start_ms,
            end_ms=request.end_ms,
        )
        answer = keystore_pb2.ListChangesResponse()
        for row in await self._store.audit.page(wanted, size):
            line = _line(row)
            if answer.changes and answer.ByteSize() + line.ByteSize() > MAX_ANSWER_BYTES:
                break
            answer.changes.append(line)
        return answer

    async def _change(self, request: keystore_pb2.UpdateOwnerRequest) -> tuple[OwnerRow, int]:
        """The owner after it, and the version of the change; when it is another meanwhile, all begins anew."""
        kind, by = kind_of(request.owner.kind), request.changed_by
        check_members(kind, request.members)
        check(kind, request.owner)
        check_texts({"changed_by": by})
        for _ in range(MAX_TRIES):
            now_ms, found = self._now_ms(), await self._find(kind, request.owner.id)
            after = changed(found, request.members, request.owner, by=by, now_ms=now_ms)
            await self._spending.begin_budgets_of_owner(found.owner, after.owner)
            async with self._store.change(by, now_ms) as change:
                now = await demand(change, kind, request.owner.id, "id")
                if now.version == found.version:
                    await self._demand_others(change, after.owner)
                    await change.write_owner(found, after, _action(found.owner, after.owner, request.members))
                    return after, change.version
        raise unavailable("It is being changed by many; try again.")

    async def _demand_others(self, change: Change, owner: Owner) -> None:
        """Whom it belongs to, and the budgets that it refers to, must be there."""
        await demand_budget(change, owner.terms, owner.member_terms)
        if owner.kind is Kind.TEAM_MEMBER:
            await demand(change, Kind.TEAM, owner.team_id, "team_id")
        if owner.organization_id:
            await demand(change, Kind.ORGANIZATION, owner.organization_id, "organization_id")

    async def _find(self, kind: Kind, owner_id: str) -> OwnerRow:
        rows = await self._store.owners.find(kind, [owner_id]) if is_id(owner_id) else []
        if not rows:
            raise not_found(kind, owner_id, "id")
        return rows[0]

    async def _all_shown(self, rows: Sequence[OwnerRow], with_spend: bool) -> Sequence[keystore_pb2.Owner]:
        balances: list[Balance | None] = []
        for row in rows if with_spend else ():
            balance = await self._balance_if_known(row.owner)
            if balance is None:
                break  # whoever does not answer once is not asked a hundred times
            balances.append(balance)
        balances += [None] * (len(rows) - len(balances))
        return [self._shown(row, balance) for row, balance in zip(rows, balances, strict=True)]

    def _shown(self, row: OwnerRow, balance: Balance | None) -> keystore_pb2.Owner:
        return shown(row, balance, self._period_end_ms(row.owner))

    def _period_end_ms(self, owner: Owner) -> int:
        """Of its budget; a budget's own period is that of all who refer to it. 0: there is none."""
        line, terms = self._standings.line_of(owner), owner.terms
        if line is not None:
            return self._standings.period_end_ms(line, self._now_ms())
        if terms.max_budget_nano_usd is None or not terms.budget_duration:
            return 0
        return period_at(parse(terms.budget_duration), self._now_ms(), self._standings.defaults.zone).end_ms

    async def _balance_if_known(self, owner: Owner) -> Balance | None:
        """What is done must not be told as failed because the ledger is away."""
        try:
            return await self._spending.of_owner(owner)
        except GatewayError:
            return None


def _action(before: Owner, after: Owner, members: Sequence[str]) -> str:
    if list(members) == ["blocked"] and before.blocked != after.blocked:
        return "blocked" if after.blocked else "unblocked"
    return "updated"


def _fitting(answer: MessageT) -> MessageT:
    """INVALID_REQUEST when it is more than an answer can carry."""
    if answer.ByteSize() > MAX_ANSWER_BYTES:
        raise invalid("These are more than fit into one answer; ask for fewer at once.", "size")
    return answer


def _line(row: AuditRow) -> keystore_pb2.Change:
    return keystore_pb2.Change(
        id=row.id,
        at_ms=row.at_ms,
        changed_by=row.changed_by,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        before_json=row.before_json,
        after_json=row.after_json,
    )
