-- The ledger: every dispatch once, and hourly sums that are always equal to the sums of the entries.

-- A dispatch id is a UUIDv7: its first 48 bits are the millisecond of admission.
CREATE FUNCTION ledger.admitted_at(dispatch_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(('x' || encode(substr(uuid_send(dispatch_id), 1, 6), 'hex'))::bit(48)::bigint / 1000.0);

-- By arithmetic, not date_trunc: the session's time zone must not matter.
CREATE FUNCTION ledger.hour_of(dispatch_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp((('x' || encode(substr(uuid_send(dispatch_id), 1, 6), 'hex'))::bit(48)::bigint / 3600000) * 3600);

-- `status`, `operation` and `error_reason` are the numbers of protos/gateway/v1; empty text is "none".
CREATE TABLE ledger.entries (
    dispatch_id uuid NOT NULL,
    call_id text NOT NULL,
    status integer NOT NULL,
    key_id text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    organization_id text NOT NULL,
    end_user_id text NOT NULL,
    master boolean NOT NULL,
    tags jsonb NOT NULL,
    operation integer NOT NULL,
    model_group text NOT NULL,
    deployment_id text NOT NULL,
    provider text NOT NULL,
    provider_model text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    held_nano_usd bigint NOT NULL,
    estimated boolean NOT NULL,
    unpriced boolean NOT NULL,
    streamed boolean NOT NULL,
    attempts jsonb NOT NULL,
    error_reason integer NOT NULL,
    duration_ms bigint NOT NULL,
    first_token_ms bigint NOT NULL,
    epoch text NOT NULL,
    PRIMARY KEY (dispatch_id)
) PARTITION BY RANGE (dispatch_id);

-- Pages and sums of one key; the sums read the index alone.
CREATE INDEX entries_key ON ledger.entries (key_id, dispatch_id) INCLUDE (cost_nano_usd);
CREATE INDEX entries_user ON ledger.entries (user_id, dispatch_id);
CREATE INDEX entries_call ON ledger.entries (call_id);

-- The partitions of entries, without gaps between them. An id before the first or after the last goes to `late`.
-- Whoever changes this table holds SHARE ROW EXCLUSIVE on entries, so that no batch is in flight meanwhile: an id
-- that went to `late` can then not also go to a partition.
CREATE TABLE ledger.partitions (
    first_id uuid PRIMARY KEY,
    end_id uuid NOT NULL,
    name text NOT NULL
);

CREATE TABLE ledger.late (LIKE ledger.entries INCLUDING ALL);

CREATE VIEW ledger.every_entry AS SELECT * FROM ledger.entries UNION ALL SELECT * FROM ledger.late;

-- Entries that no table can take, in their wire form (gateway.v1.Entry), so that a person can mend them.
CREATE TABLE ledger.rejected (
    entry_sha256 bytea PRIMARY KEY,
    entry bytea NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each hour and combination of everything that entries are summed by. `fact` is the SHA-256 of that
-- combination: names come from callers and may together be longer than a key of an index can be. Owners are part of
-- it, so that a key that moves to another team in mid-hour is summed for both.
CREATE TABLE ledger.rollup_hour (
    hour timestamptz NOT NULL,
    fact bytea NOT NULL,
    key_id text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    organization_id text NOT NULL,
    end_user_id text NOT NULL,
    deployment_id text NOT NULL,
    model_group text NOT NULL,
    provider text NOT NULL,
    operation integer NOT NULL,
    status integer NOT NULL,
    entries bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    PRIMARY KEY (hour, fact)
    -- Rows of the present hour change with every batch: room in the page keeps the change off the index.
) WITH (fillfactor = 70);

-- An entry counts once for each of its tags.
CREATE TABLE ledger.rollup_hour_tag (
    hour timestamptz NOT NULL,
    tag text NOT NULL,
    entries bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    PRIMARY KEY (hour, tag)
) WITH (fillfactor = 70);
