"""What a request asks for, checked, in the store's terms. Pure; what cannot be answered is INVALID_REQUEST."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.v1 import ledger_pb2

from ledger.queries import DIMENSIONS
from ledger.rows import clean
from services.errors import GatewayError, Reason
from services.ids import from_text, lowest_at, millis_of

_KEY = ledger_pb2.SPEND_DIMENSION_KEY
_TAG = ledger_pb2.SPEND_DIMENSION_TAG
# Of a range, not of names.
_TIMES = (ledger_pb2.SPEND_DIMENSION_DAY, ledger_pb2.SPEND_DIMENSION_HOUR)

HOUR_MS = 3_600_000
# What the 48 bits of a UUIDv7 reach to: the year 10889.
MAX_MS = (1 << 48) - 1
LOWEST_ID = uuid.UUID(int=0)

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1_000
# Some 200 kB: what is put together at once, and waits while its reader is slow.
DEFAULT_EXPORT_SIZE = 500
# Rows that pages may lie behind: each page sums everything anew, so nobody should go through millions so.
MAX_OFFSET = 1_000_000
# Entries likewise, of which every one that is passed over is read.
MAX_ENTRY_OFFSET = 100_000
# Values of a filter: more than a page of names has.
MAX_VALUES = 1_000
# As many as a request of 2 MiB, the transport's limit, can carry.
MAX_EXCLUDED_IDS = 100_000

# Lists of values, one for each dimension that is filtered by.
Lists = Mapping[ledger_pb2.SpendDimension, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries; empty or None matches everything.

    An entry matches request_id when that is its call id, or dispatch_id is its own. first_id and end_id are bounds of
    dispatch ids, the end exclusive. lists: what else must match. offset: entries to pass over.
    """

    key_id: str = ""
    user_id: str = ""
    request_id: str = ""
    dispatch_id: uuid.UUID | None = None
    first_id: uuid.UUID | None = None
    end_id: uuid.UUID | None = None
    lists: Lists = field(default_factory=dict)
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SpendQuestion:
    """Which sums: by what, and which page of them.

    Hours are counted from the epoch, the end exclusive; None: open. user_id: empty matches everybody. lists: what else
    must match.
    """

    dimensions: Sequence[ledger_pb2.SpendDimension] = ()
    first_hour: int | None = None
    end_hour: int | None = None
    user_id: str = ""
    limit: int = DEFAULT_PAGE_SIZE
    offset: int = 0
    lists: Lists = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SumQuestion:
    """One sum: of entries with this id or a later one, without some, that match all lists."""

    first_id: uuid.UUID = LOWEST_ID
    excluded_ids: Sequence[uuid.UUID] = ()
    lists: Lists = field(default_factory=dict)

    @property
    def first_hour(self) -> int:
        """The hour, counted from the epoch, in which it begins."""
        return millis_of(self.first_id.bytes) // HOUR_MS

    @property
    def hour_ids(self) -> tuple[uuid.UUID, uuid.UUID]:
        """The lowest and the highest id of that hour."""
        start_ms = self.first_hour * HOUR_MS
        last_ms = min(start_ms + HOUR_MS - 1, MAX_MS)
        return uuid.UUID(bytes=lowest_at(start_ms)), uuid.UUID(bytes=lowest_at(last_ms)[:6] + b"\xff" * 10)


def filter_of(request: ledger_pb2.ListEntriesRequest) -> Filter:
    """Which entries a page is of."""
    ends = [end for end in (_bound(request.end_ms, "end_ms"), _optional_id(request.before_id, "before_id")) if end]
    return Filter(
        # Cut and cleaned as they were when they were written.
        key_id=clean(request.key_id),
        user_id=clean(request.user_id),
        request_id=clean(request.request_id),
        dispatch_id=_dispatch_id(request.request_id),
        first_id=_bound(request.start_ms, "start_ms"),
        end_id=min(ends, default=None),
        lists=_lists(request.filters),
        offset=_entry_offset(request.offset),
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Entries from one id on, or after one, and before another, at most so many; None: open."""

    first_id: uuid.UUID | None
    after_id: uuid.UUID | None
    end_id: uuid.UUID | None
    limit: int


def range_of(request: ledger_pb2.ExportEntriesRequest) -> Range:
    """Which entries a page of an export is of."""
    if not 0 <= request.page_size <= MAX_PAGE_SIZE:
        raise _invalid(f"page_size must be between 1 and {MAX_PAGE_SIZE}.", "page_size")
    return Range(
        first_id=_bound(request.start_ms, "start_ms"),
        after_id=_optional_id(request.after_id, "after_id"),
        end_id=_bound(request.end_ms, "end_ms"),
        limit=request.page_size or DEFAULT_EXPORT_SIZE,
    )


def page_size_of(request: ledger_pb2.ListEntriesRequest | ledger_pb2.QuerySpendRequest) -> int:
    """How many entries, or sums, a page may have."""
    if not 0 <= request.page_size <= MAX_PAGE_SIZE:
        raise _invalid(f"page_size must be between 1 and {MAX_PAGE_SIZE}.", "page_size")
    return request.page_size or DEFAULT_PAGE_SIZE


def sum_question_of(request: ledger_pb2.SumSpendRequest) -> SumQuestion:
    """What is to be summed."""
    if len(request.excluded_ids) > MAX_EXCLUDED_IDS:
        raise _invalid(f"At most {MAX_EXCLUDED_IDS} ids can be excluded.", "excluded_ids")
    lists = dict(_lists(request.filters))
    if len(lists.get(_TAG, ())) > 1:
        raise _invalid("A call with several of these tags would be counted for each: ask for one.", "filters")
    if request.key_id:
        key_id = clean(request.key_id)
        lists[_KEY] = [key_id] if key_id in lists.get(_KEY, (key_id,)) else []
    return SumQuestion(
        first_id=_optional_id(request.since_id, "since_id") or LOWEST_ID,
        excluded_ids=[_id(given, "excluded_ids") for given in request.excluded_ids],
        lists=lists,
    )


def question_of(request: ledger_pb2.QuerySpendRequest) -> SpendQuestion:
    """Which sums are asked for."""
    dimensions = tuple(request.group_by)
    if len(set(dimensions)) < len(dimensions) or not DIMENSIONS.keys() >= set(dimensions):
        raise _invalid("group_by names a dimension twice, or one that is none.", "group_by")
    lists = _lists(request.filters)
    if len(lists.get(_TAG, ())) > 1 and _TAG not in dimensions:
        raise _invalid("A call with several of these tags would be counted for each: group by them.", "filters")
    first_hour, end_hour = hours_of(request)
    return SpendQuestion(
        dimensions=dimensions,
        first_hour=first_hour,
        end_hour=end_hour,
        user_id=clean(request.user_id),
        limit=page_size_of(request),
        offset=_offset_of(request.page_token),
        lists=lists,
    )


def _lists(filters: Iterable[ledger_pb2.SpendFilter]) -> Lists:
    """Filters by their dimensions; none for most requests."""
    lists: dict[ledger_pb2.SpendDimension, Sequence[str]] = {}
    for each in filters:
        if each.dimension in lists or each.dimension not in DIMENSIONS or each.dimension in _TIMES:
            raise _invalid("filters name a dimension twice, or one that nothing is filtered by.", "filters")
        if not 1 <= len(each.values) <= MAX_VALUES:
            raise _invalid(f"A filter has between 1 and {MAX_VALUES} values.", "filters")
        # Each once, so that an entry is read once.
        lists[each.dimension] = list(dict.fromkeys(map(clean, each.values)))
    return lists


def _entry_offset(offset: int) -> int:
    if not 0 <= offset <= MAX_ENTRY_OFFSET:
        raise _invalid(f"Pages lie behind at most {MAX_ENTRY_OFFSET} entries: ask for fewer days.", "offset")
    return offset


def _offset_of(page_token: str) -> int:
    """How many rows the pages before have had; a token is that number."""
    if not page_token:
        return 0
    # As long as the limit: of longer texts not even the number is to be made.
    if not (page_token.isdecimal() and len(page_token) <= len(str(MAX_OFFSET)) and int(page_token) <= MAX_OFFSET):
        raise _invalid(f"page_token is none that was given, or lies behind {MAX_OFFSET} rows.", "page_token")
    return int(page_token)


def hours_of(request: ledger_pb2.QuerySpendRequest) -> tuple[int | None, int | None]:
    """The hours (counted from the epoch) that a range touches, the end exclusive; None: open.

    Sums are kept by the hour, so the start counts from the beginning of its hour, and the end to the end of its own.
    """
    start_ms, end_ms = _millis(request.start_ms, "start_ms"), _millis(request.end_ms, "end_ms")
    return (start_ms // HOUR_MS if start_ms else None), (-(-end_ms // HOUR_MS) if end_ms else None)


def _bound(millis: int, param: str) -> uuid.UUID | None:
    return uuid.UUID(bytes=lowest_at(millis)) if _millis(millis, param) else None


def _millis(millis: int, param: str) -> int:
    if not 0 <= millis <= MAX_MS:
        raise _invalid(f"{param} is no time in milliseconds since the epoch.", param)
    return millis


def _dispatch_id(request_id: str) -> uuid.UUID | None:
    """The dispatch id that a request id is the text of; None when it is none, and then only a call id."""
    try:
        return uuid.UUID(bytes=from_text(request_id))
    except ValueError:
        return None


def _optional_id(given: bytes, param: str) -> uuid.UUID | None:
    return _id(given, param) if given else None


def _id(given: bytes, param: str) -> uuid.UUID:
    if len(given) != 16:
        raise _invalid(f"{param}: an id has 16 bytes, not {len(given)}.", param)
    return uuid.UUID(bytes=given)


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)
