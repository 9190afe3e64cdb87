"""What a request asks of the ledger: its dates, its filters and, for a virtual key, its own calls only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.v1 import ledger_pb2

from edge.admin.directory import KeyDirectory
from edge.admin.endpoint import AdminRequest
from edge.admin.times import date_range_ms
from services.errors import GatewayError, Reason
from services.methods import QUERY_SPEND
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
# Sums that one answer is made of. What has more is asked by fewer days.
MAX_SUMS = 20_000
_PAGE = 1_000
# Values of one filter; the ledger takes no more.
_MAX_VALUES = 1_000

KEY = ledger_pb2.SPEND_DIMENSION_KEY
USER = ledger_pb2.SPEND_DIMENSION_USER
TEAM = ledger_pb2.SPEND_DIMENSION_TEAM
ORGANIZATION = ledger_pb2.SPEND_DIMENSION_ORGANIZATION
END_USER = ledger_pb2.SPEND_DIMENSION_END_USER
DEPLOYMENT = ledger_pb2.SPEND_DIMENSION_DEPLOYMENT
GROUP = ledger_pb2.SPEND_DIMENSION_MODEL_GROUP
PROVIDER = ledger_pb2.SPEND_DIMENSION_PROVIDER
MODEL = ledger_pb2.SPEND_DIMENSION_PROVIDER_MODEL
OPERATION = ledger_pb2.SPEND_DIMENSION_OPERATION
STATUS = ledger_pb2.SPEND_DIMENSION_STATUS
TAG = ledger_pb2.SPEND_DIMENSION_TAG
DAY = ledger_pb2.SPEND_DIMENSION_DAY

# Query parameters that keep to some values of a dimension, in a list with commas; LiteLLM has several for one.
FILTERS: Mapping[str, ledger_pb2.SpendDimension] = {
    "user_id": USER,
    "user_ids": USER,
    "internal_user_id": USER,
    "team_id": TEAM,
    "team_ids": TEAM,
    "organization_id": ORGANIZATION,
    "organization_ids": ORGANIZATION,
    "customer_id": END_USER,
    "end_user": END_USER,
    "end_user_id": END_USER,
    "end_user_ids": END_USER,
    "model_group": GROUP,
    "model_id": DEPLOYMENT,
    "provider": PROVIDER,
    "tags": TAG,
}
# An id may have a comma in it: one value.
_SINGLE = frozenset(
    ("user_id", "internal_user_id", "team_id", "organization_id", "customer_id", "end_user", "end_user_id")
)


class SpendQuestions:
    """Asks the ledger for sums."""

    def __init__(self, ledger: Channel, directory: KeyDirectory) -> None:
        self._ledger = ledger
        self._directory = directory

    async def filters(self, request: AdminRequest) -> list[ledger_pb2.SpendFilter]:
        """What the sums or entries that a request is about must match."""
        lists: dict[ledger_pb2.SpendDimension, list[str]] = {}
        key_id = await self._directory.confined_to(request, request.query.get("api_key", ""))
        if key_id is not None:
            lists[KEY] = [key_id]
        for name, dimension in FILTERS.items():
            if text := request.query.get(name):
                values = [text] if name in _SINGLE else [each for each in text.split(",") if each]
                lists.setdefault(dimension, []).extend(values)
        for values in lists.values():
            if not 1 <= len(values) <= _MAX_VALUES:
                raise _invalid(f"A filter has between 1 and {_MAX_VALUES} values.", "filters")
        return [ledger_pb2.SpendFilter(dimension=dimension, values=values) for dimension, values in lists.items()]

    async def page(
        self, request: AdminRequest, group_by: Sequence[ledger_pb2.SpendDimension], size: int
    ) -> Sequence[ledger_pb2.SpendRow]:
        """The dearest sums, between the request's dates."""
        range_ms = date_range_ms(request.query.get("start_date"), request.query.get("end_date"))
        question = _question(group_by, range_ms, size, await self.filters(request))
        return (await self._ledger.call(QUERY_SPEND, question, timeout_seconds=TIMEOUT_SECONDS)).rows

    async def every(
        self,
        request: AdminRequest,
        group_by: Sequence[ledger_pb2.SpendDimension],
        range_ms: tuple[int, int],
        filters: Sequence[ledger_pb2.SpendFilter] | None = None,
    ) -> Sequence[ledger_pb2.SpendRow]:
        """All sums of a range of time, dearest first. INVALID_REQUEST when they are more than MAX_SUMS.

        filters: in place of the request's own.
        """
        question = _question(group_by, range_ms, _PAGE, await self.filters(request) if filters is None else filters)
        # Sums may overtake each other while they are read: by its keys, each counts once.
        rows: dict[tuple[str, ...], ledger_pb2.SpendRow] = {}
        while True:
            answer = await self._ledger.call(QUERY_SPEND, question, timeout_seconds=TIMEOUT_SECONDS)
            rows.update((tuple(row.keys), row) for row in answer.rows)
            question.page_token = answer.next_page_token
            if not question.page_token:
                return list(rows.values())
            if len(rows) >= MAX_SUMS:
                raise _invalid(f"The answer would be of more than {MAX_SUMS} sums: ask for fewer days.", "start_date")


def _question(
    group_by: Sequence[ledger_pb2.SpendDimension],
    range_ms: tuple[int, int],
    size: int,
    filters: Sequence[ledger_pb2.SpendFilter],
) -> ledger_pb2.QuerySpendRequest:
    if TAG not in group_by and any(each.dimension == TAG and len(each.values) > 1 for each in filters):
        raise _invalid("Only one tag may be asked for here: a call with several would be counted for each.", "tags")
    return ledger_pb2.QuerySpendRequest(
        start_ms=range_ms[0], end_ms=range_ms[1], group_by=group_by, page_size=size, filters=filters
    )


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)
