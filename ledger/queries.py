"""The ledger's SQL: one statement to write a batch, and those that ask.

Pure: texts only; `store.py` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.v1 import ledger_pb2

from ledger.rows import Row

_NAMES = ", ".join(Row.__struct_fields__)

_FACTS = (
    "key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model, "
    "operation, status"
)
_SUMS = (
    "entries",
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def _upsert(table: str, key: str, source: str) -> str:
    """Add the counts and sums of `source` to `table`, in the order of its key, so that ledgers never deadlock."""
    names = ", ".join(_SUMS)
    added = ", ".join(f"sum({name})::bigint AS {name}" for name in _SUMS)
    changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _SUMS)
    columns = f"{key}, {_FACTS}"
    return (
        f"INSERT INTO ledger.{table} ({columns}, {names}) "  # noqa: S608 (from constants alone)
        f"SELECT {columns}, {added} FROM {source} GROUP BY {columns} ORDER BY {key} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


def _add_to_sums(source: str) -> str:
    """The parts of a statement that add the rows of `source` to every rollup, after it in the same WITH."""
    return f"""
{source}_tag AS (
    SELECT {source}.*, tag FROM {source}, jsonb_array_elements_text(tags) AS tag
), hours AS (
    {_upsert("rollup_hour", "hour, fact", source)}
), hour_tags AS (
    {_upsert("rollup_hour_tag", "hour, tag, fact", f"{source}_tag")}
), days AS (
    {_upsert("rollup_day", "day, fact", source)}
), day_tags AS (
    {_upsert("rollup_day_tag", "day, tag, fact", f"{source}_tag")}
)"""  # noqa: S608 (from constants alone)


# Where a row belongs in the rollups.
_PLACE = f"""ledger.hour_of(dispatch_id) AS hour, ledger.day_of(dispatch_id) AS day,
           sha256(convert_to(({_FACTS})::text, 'UTF8')) AS fact"""

# Writes a batch; everything or nothing. $1: rows in JSON. Answers how many were new in `entries` and in
# `late`. An id that is there already, in either, changes nothing.
#
# Several ledgers may write overlapping batches at once. Rows are inserted in the order of their key, and the tables
# are always reached in the same order (both counts force `entries` and `late` before the sums), so that they wait for
# each other and never in a circle. An id cannot turn from late to covered under a batch: see ledger.partitions.
WRITE = f"""
WITH covered AS MATERIALIZED (
    SELECT (SELECT first_id FROM ledger.partitions ORDER BY first_id LIMIT 1) AS first_id,
           (SELECT end_id FROM ledger.partitions ORDER BY first_id DESC LIMIT 1) AS end_id
), batch AS MATERIALIZED (
    SELECT given.*, coalesce(given.dispatch_id >= first_id AND given.dispatch_id < end_id, false) AS in_time
    FROM json_populate_recordset(NULL::ledger.entries, $1) AS given, covered
), stored AS (
    INSERT INTO ledger.entries ({_NAMES})
    SELECT {_NAMES} FROM batch
    WHERE in_time AND NOT EXISTS (SELECT FROM ledger.late WHERE late.dispatch_id = batch.dispatch_id)
    ORDER BY dispatch_id
    ON CONFLICT (dispatch_id) DO NOTHING
    RETURNING *
), belated AS (
    INSERT INTO ledger.late ({_NAMES})
    SELECT {_NAMES} FROM batch WHERE NOT in_time
    ORDER BY dispatch_id
    ON CONFLICT (dispatch_id) DO NOTHING
    RETURNING *
), fresh AS MATERIALIZED (
    SELECT {_PLACE}, 1 AS entries, new.*
    FROM (SELECT * FROM stored UNION ALL SELECT * FROM belated) AS new
), {_add_to_sums("fresh")}
SELECT (SELECT count(*) FROM stored) AS stored, (SELECT count(*) FROM belated) AS late
"""  # noqa: S608 (from constants alone)

# What Reprice changes. An entry that has cost something was billed for several attempts, some of them with a price.
_IS_UNPRICED = "unpriced AND cost_nano_usd = 0"

# Locks what is to be repriced, $1, in the order of its key, so that two who do it never wait in a circle.
LOCK_UNPRICED = tuple(
    f"SELECT FROM ledger.{table} WHERE dispatch_id = ANY($1::uuid[]) AND {_IS_UNPRICED} ORDER BY dispatch_id FOR UPDATE"
    for table in ("entries", "late")
)

# Gives entries a cost, in a transaction that has locked them. $1: ids, $2: their costs. Answers how many have changed,
# and what they cost now. Tables are reached in the order of WRITE.
REPRICE = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS given (dispatch_id, cost)
), priced AS (
    UPDATE ledger.entries SET cost_nano_usd = given.cost, unpriced = false FROM given
    WHERE entries.dispatch_id = given.dispatch_id AND {_IS_UNPRICED}
    RETURNING entries.*
), priced_late AS (
    UPDATE ledger.late SET cost_nano_usd = given.cost, unpriced = false FROM given
    WHERE late.dispatch_id = given.dispatch_id AND {_IS_UNPRICED}
    RETURNING late.*
), changed AS MATERIALIZED (
    SELECT {_PLACE}, {_FACTS}, tags, cost_nano_usd, 0 AS entries, 0 AS input_tokens, 0 AS output_tokens,
           0 AS cache_read_tokens, 0 AS cache_write_tokens, 0 AS reasoning_tokens
    FROM (SELECT * FROM priced UNION ALL SELECT * FROM priced_late) AS new
), {_add_to_sums("changed")}
SELECT count(*) AS entries, coalesce(sum(cost_nano_usd), 0)::bigint AS cost_nano_usd FROM changed
"""  # noqa: S608 (from constants alone)

# $1 hash, $2 entry, $3 reason.
REJECT = """
INSERT INTO ledger.rejected (entry_sha256, entry, reason) VALUES ($1, $2, $3) ON CONFLICT (entry_sha256) DO NOTHING
"""

# What each dimension of spend is in SQL; `unit` is the rollup's: day or hour.
DIMENSIONS: Mapping[ledger_pb2.SpendDimension, str] = {
    ledger_pb2.SPEND_DIMENSION_KEY: "key_id",
    ledger_pb2.SPEND_DIMENSION_USER: "user_id",
    ledger_pb2.SPEND_DIMENSION_TEAM: "team_id",
    ledger_pb2.SPEND_DIMENSION_ORGANIZATION: "organization_id",
    ledger_pb2.SPEND_DIMENSION_END_USER: "end_user_id",
    ledger_pb2.SPEND_DIMENSION_DEPLOYMENT: "deployment_id",
    ledger_pb2.SPEND_DIMENSION_MODEL_GROUP: "model_group",
    ledger_pb2.SPEND_DIMENSION_PROVIDER_MODEL: "provider_model",
    ledger_pb2.SPEND_DIMENSION_PROVIDER: "provider",
    ledger_pb2.SPEND_DIMENSION_OPERATION: "operation::text",
    ledger_pb2.SPEND_DIMENSION_STATUS: "status::text",
    ledger_pb2.SPEND_DIMENSION_TAG: "tag",
    # Not a cast to date: the session's time zone must not matter.
    ledger_pb2.SPEND_DIMENSION_DAY: "to_char({unit} AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    ledger_pb2.SPEND_DIMENSION_HOUR: "to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24')",
}


def sum_spend(filtered: Sequence[ledger_pb2.SpendDimension]) -> str:
    """The statement that sums what matches a list of values in each of these dimensions, from a moment on.

    $1 the first id, $2 its hour since the epoch, $3 the lowest and $4 the highest id of that hour, $5 ids to leave out,
    $6 the lowest and $7 the highest of them, then the lists.

    Days after the first and hours of the first are in rollups; entries are read where the first hour is not whole. What
    is recorded of the ids to leave out is in one of these and is taken off again. One statement sees all at one moment,
    since a batch commits its entries and their sums together.

    OFFSET 0 keeps the planner from joining: it might read every entry for a few ids. The bounds keep it from planning
    for partitions that have none of them.
    """
    tag = _tag_of(filtered)
    in_rollup = _matching(filtered, 8, tag_condition="tag = ANY")
    in_entries = _matching(filtered, 8, tag_condition="tags ?|")
    return f"""
WITH first_hour AS MATERIALIZED (
    SELECT $1::uuid = $3::uuid OR $1 < first_id AS is_whole FROM ledger.retained
), days AS (
    SELECT coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, coalesce(sum(entries), 0) AS entries
    FROM ledger.rollup_day{tag} WHERE day > to_timestamp($2::bigint * 3600) {in_rollup}
), hours AS (
    SELECT coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, coalesce(sum(entries), 0) AS entries
    FROM ledger.rollup_hour{tag}
    WHERE hour >= to_timestamp($2 * 3600) AND hour < to_timestamp(($2 / 24 + 1) * 86400)
      AND (hour > to_timestamp($2 * 3600) OR (SELECT is_whole FROM first_hour))
      {in_rollup}
), singles AS (
    SELECT coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, count(*) AS entries
    FROM ledger.every_entry
    WHERE dispatch_id >= $1 AND dispatch_id <= $4::uuid AND NOT (SELECT is_whole FROM first_hour) {in_entries}
), excluded AS (
    SELECT coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, count(*) AS entries
    FROM (SELECT DISTINCT unnest($5::uuid[]) AS dispatch_id) AS given, LATERAL (
        SELECT cost_nano_usd FROM ledger.every_entry
        WHERE every_entry.dispatch_id = given.dispatch_id AND every_entry.dispatch_id BETWEEN $6::uuid AND $7::uuid
          {in_entries}
        OFFSET 0
    ) AS recorded
    WHERE given.dispatch_id >= $1 OR given.dispatch_id >= $3 AND (SELECT is_whole FROM first_hour)
)
SELECT (days.cost_nano_usd + hours.cost_nano_usd + singles.cost_nano_usd - excluded.cost_nano_usd)::bigint
           AS cost_nano_usd,
       (days.entries + hours.entries + singles.entries - excluded.entries)::bigint AS entries
FROM days, hours, singles, excluded
"""  # noqa: S608 (from constants alone)


def list_entries(filtered: Sequence[ledger_pb2.SpendDimension], *, unpriced: bool = False) -> str:
    """The statement that reads entries, newest first, which match a list of values in each of these dimensions.

    unpriced: only those that Reprice would change.

    $1 key, $2 user ('': all), $3 call id and $4 dispatch id ('' and NULL: all), $5 first id and $6 end id (NULL: open),
    $7 how many, $8 after how many, then the lists.
    """
    return f"""
SELECT {_NAMES} FROM ledger.every_entry
WHERE ($1::text = '' OR key_id = $1) AND ($2::text = '' OR user_id = $2)
  AND ($3::text = '' OR call_id = $3 OR dispatch_id = $4::uuid)
  AND ($5::uuid IS NULL OR dispatch_id >= $5) AND ($6::uuid IS NULL OR dispatch_id < $6)
  {_matching(filtered, 9, tag_condition="tags ?|")} {f"AND {_IS_UNPRICED}" if unpriced else ""}
ORDER BY dispatch_id DESC LIMIT $7 OFFSET $8
"""  # noqa: S608 (from constants alone)


def query_spend(
    dimensions: Sequence[ledger_pb2.SpendDimension],
    filtered: Sequence[ledger_pb2.SpendDimension] = (),
    *,
    whole_days: bool = False,
) -> str:
    """The statement that sums a rollup by these dimensions, dearest first; by none, the one sum of all.

    whole_days: the range is of whole days, and nothing is asked of their hours.

    $1 the first hour and $2 the end, in hours since the epoch (NULL: open), $3 user ('': all), $4 how many rows, $5
    after how many, then a list of values for each dimension of `filtered`.
    """
    unit = "day" if whole_days else "hour"
    keys = ", ".join(DIMENSIONS[dimension].format(unit=unit) for dimension in dimensions)
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in _SUMS[:-1])
    return f"""
SELECT ARRAY[{keys}]::text[] AS keys, {sums},
       coalesce(sum(entries) FILTER (WHERE status = {int(ledger_pb2.ENTRY_STATUS_SUCCESS)}), 0)::bigint AS succeeded
FROM ledger.rollup_{unit}{_tag_of((*dimensions, *filtered))}
WHERE ($1::bigint IS NULL OR {unit} >= to_timestamp($1 * 3600))
  AND ($2::bigint IS NULL OR {unit} < to_timestamp($2 * 3600))
  AND ($3::text = '' OR user_id = $3)
  {_matching(filtered, 6, tag_condition="tag = ANY")}
{f"GROUP BY {keys}" if keys else ""}
ORDER BY cost_nano_usd DESC, keys LIMIT $4 OFFSET $5
"""  # noqa: S608 (from constants alone)


def _tag_of(dimensions: Sequence[ledger_pb2.SpendDimension]) -> str:
    """The end of a rollup's name: that of tags, when one of these is the tag."""
    return "_tag" if ledger_pb2.SPEND_DIMENSION_TAG in dimensions else ""


def _matching(filtered: Sequence[ledger_pb2.SpendDimension], first: int, *, tag_condition: str) -> str:
    """Conditions on lists of values, which are parameters from `$first` on; on tags this one."""
    conditions = {
        **{dimension: f"{column} = ANY" for dimension, column in DIMENSIONS.items()},
        ledger_pb2.SPEND_DIMENSION_TAG: tag_condition,
    }
    return " ".join(
        f"AND {conditions[dimension]} (${number}::text[])" for number, dimension in enumerate(filtered, first)
    )
