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
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def _upsert(table: str, key: str, source: str) -> str:
    """Add the counts and sums of `source` to `table`, in the order of its key, so that ledgers never deadlock."""
    names = ", ".join(("entries", *_SUMS))
    added = ", ".join(f"sum({name})::bigint AS {name}" for name in _SUMS)
    changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ("entries", *_SUMS))
    columns = f"{key}, {_FACTS}"
    return (
        f"INSERT INTO ledger.{table} ({columns}, {names}) "  # noqa: S608 (from constants alone)
        f"SELECT {columns}, count(*) AS entries, {added} FROM {source} GROUP BY {columns} ORDER BY {key} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


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
    SELECT ledger.hour_of(dispatch_id) AS hour, sha256(convert_to(({_FACTS})::text, 'UTF8')) AS fact, new.*
    FROM (SELECT * FROM stored UNION ALL SELECT * FROM belated) AS new
), fresh_tag AS (
    SELECT fresh.*, tag FROM fresh, jsonb_array_elements_text(tags) AS tag
), hours AS (
    {_upsert("rollup_hour", "hour, fact", "fresh")}
), hour_tags AS (
    {_upsert("rollup_hour_tag", "hour, tag, fact", "fresh_tag")}
)
SELECT (SELECT count(*) FROM stored) AS stored, (SELECT count(*) FROM belated) AS late
"""  # noqa: S608 (from constants alone)

# $1 hash, $2 entry, $3 reason.
REJECT = """
INSERT INTO ledger.rejected (entry_sha256, entry, reason) VALUES ($1, $2, $3) ON CONFLICT (entry_sha256) DO NOTHING
"""

# What each dimension of spend is in SQL.
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
    ledger_pb2.SPEND_DIMENSION_DAY: "to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    ledger_pb2.SPEND_DIMENSION_HOUR: "to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24')",
}


def sum_spend(filtered: Sequence[ledger_pb2.SpendDimension]) -> str:
    """The statement that sums what matches a list of values in each of these dimensions, from a moment on.

    $1 the first id, $2 its hour since the epoch, $3 the lowest and $4 the highest id of that hour, $5 ids to leave out,
    then the lists. Whole hours are in a rollup; entries are read where the first one is not whole. What is recorded of
    the ids to leave out is in one or the other and is taken off again. One statement sees all three at one moment,
    since a batch commits its entries and their sums together.

    OFFSET 0 keeps the planner from joining: it might read every entry for a few ids.
    """
    by_tag = ledger_pb2.SPEND_DIMENSION_TAG in filtered
    in_rollup = _matching(filtered, 6, tag_condition="tag = ANY")
    in_entries = _matching(filtered, 6, tag_condition="tags ?|")
    return f"""
WITH first_hour AS MATERIALIZED (
    SELECT $1::uuid = $3::uuid OR $1 < first_id AS is_whole FROM ledger.retained
), hours AS (
    SELECT coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, coalesce(sum(entries), 0) AS entries
    FROM {"ledger.rollup_hour_tag" if by_tag else "ledger.rollup_hour"}
    WHERE hour >= to_timestamp($2::bigint * 3600)
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
        WHERE every_entry.dispatch_id = given.dispatch_id {in_entries}
        OFFSET 0
    ) AS recorded
    WHERE given.dispatch_id >= $1 OR given.dispatch_id >= $3 AND (SELECT is_whole FROM first_hour)
)
SELECT (hours.cost_nano_usd + singles.cost_nano_usd - excluded.cost_nano_usd)::bigint AS cost_nano_usd,
       (hours.entries + singles.entries - excluded.entries)::bigint AS entries
FROM hours, singles, excluded
"""  # noqa: S608 (from constants alone)


def list_entries(filtered: Sequence[ledger_pb2.SpendDimension]) -> str:
    """The statement that reads entries, newest first, which match a list of values in each of these dimensions.

    $1 key, $2 user ('': all), $3 call id and $4 dispatch id ('' and NULL: all), $5 first id and $6 end id (NULL: open),
    $7 how many, $8 after how many, then the lists.
    """
    return f"""
SELECT {_NAMES} FROM ledger.every_entry
WHERE ($1::text = '' OR key_id = $1) AND ($2::text = '' OR user_id = $2)
  AND ($3::text = '' OR call_id = $3 OR dispatch_id = $4::uuid)
  AND ($5::uuid IS NULL OR dispatch_id >= $5) AND ($6::uuid IS NULL OR dispatch_id < $6)
  {_matching(filtered, 9, tag_condition="tags ?|")}
ORDER BY dispatch_id DESC LIMIT $7 OFFSET $8
"""  # noqa: S608 (from constants alone)


def query_spend(
    dimensions: Sequence[ledger_pb2.SpendDimension], filtered: Sequence[ledger_pb2.SpendDimension] = ()
) -> str:
    """The statement that sums a rollup by these dimensions, dearest first; by none, the one sum of all.

    $1 the first hour and $2 the end, in hours since the epoch (NULL: open), $3 user ('': all), $4 how many rows, $5
    after how many, then a list of values for each dimension of `filtered`.
    """
    by_tag = ledger_pb2.SPEND_DIMENSION_TAG in (*dimensions, *filtered)
    keys = ", ".join(DIMENSIONS[dimension] for dimension in dimensions)
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in ("entries", *_SUMS[:-1]))
    return f"""
SELECT ARRAY[{keys}]::text[] AS keys, {sums},
       coalesce(sum(entries) FILTER (WHERE status = {int(ledger_pb2.ENTRY_STATUS_SUCCESS)}), 0)::bigint AS succeeded
FROM {"ledger.rollup_hour_tag" if by_tag else "ledger.rollup_hour"}
WHERE ($1::bigint IS NULL OR hour >= to_timestamp($1 * 3600)) AND ($2::bigint IS NULL OR hour < to_timestamp($2 * 3600))
  AND ($3::text = '' OR user_id = $3)
  {_matching(filtered, 6, tag_condition="tag = ANY")}
{f"GROUP BY {keys}" if keys else ""}
ORDER BY cost_nano_usd DESC, keys LIMIT $4 OFFSET $5
"""  # noqa: S608 (from constants alone)


def _matching(filtered: Sequence[ledger_pb2.SpendDimension], first: int, *, tag_condition: str) -> str:
    """Conditions on lists of values, which are parameters from `$first` on; on tags this one."""
    conditions = {
        **{dimension: f"{column} = ANY" for dimension, column in DIMENSIONS.items()},
        ledger_pb2.SPEND_DIMENSION_TAG: tag_condition,
    }
    return " ".join(
        f"AND {conditions[dimension]} (${number}::text[])" for number, dimension in enumerate(filtered, first)
    )
