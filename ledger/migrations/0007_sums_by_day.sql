-- The sums once more by the day (UTC): most questions are about whole days, and a month of them has a fifteenth of the
-- rows. A sum that begins in mid-day reads the hours of that one day, so names need an index by the day only.
--
-- LOCK waits for batches under way: what is committed is read here, and later ones come from ledgers that know of days.
LOCK TABLE ledger.rollup_hour, ledger.rollup_hour_tag IN SHARE ROW EXCLUSIVE MODE;

CREATE FUNCTION ledger.day_of(dispatch_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp((('x' || encode(substr(uuid_send(dispatch_id), 1, 6), 'hex'))::bit(48)::bigint / 86400000) * 86400);

CREATE TABLE ledger.rollup_day (LIKE ledger.rollup_hour) WITH (fillfactor = 70);
ALTER TABLE ledger.rollup_day RENAME hour TO day;
ALTER TABLE ledger.rollup_day ADD PRIMARY KEY (day, fact);

CREATE TABLE ledger.rollup_day_tag (LIKE ledger.rollup_hour_tag) WITH (fillfactor = 70);
ALTER TABLE ledger.rollup_day_tag RENAME hour TO day;
ALTER TABLE ledger.rollup_day_tag ADD PRIMARY KEY (day, tag, fact);

INSERT INTO ledger.rollup_day (
    day, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status, entries, cost_nano_usd, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens
)
SELECT
    to_timestamp(floor(extract(epoch FROM hour) / 86400) * 86400) AS day,
    fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
    operation, status, sum(entries), sum(cost_nano_usd), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
    sum(cache_write_tokens), sum(reasoning_tokens)
FROM ledger.rollup_hour
GROUP BY
    day, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status;

INSERT INTO ledger.rollup_day_tag (
    day, tag, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status, entries, cost_nano_usd, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens
)
SELECT
    to_timestamp(floor(extract(epoch FROM hour) / 86400) * 86400) AS day,
    tag, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status, sum(entries), sum(cost_nano_usd), sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens)
FROM ledger.rollup_hour_tag
GROUP BY
    day, tag, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status;

DROP INDEX ledger.rollup_hour_key;
DROP INDEX ledger.rollup_hour_user;
DROP INDEX ledger.rollup_hour_team;
DROP INDEX ledger.rollup_hour_organization;
DROP INDEX ledger.rollup_hour_end_user;
DROP INDEX ledger.rollup_hour_model_group;
DROP INDEX ledger.rollup_hour_tag_tag;
CREATE INDEX rollup_day_key ON ledger.rollup_day (key_id, day);
CREATE INDEX rollup_day_user ON ledger.rollup_day (user_id, day);
CREATE INDEX rollup_day_team ON ledger.rollup_day (team_id, day);
CREATE INDEX rollup_day_organization ON ledger.rollup_day (organization_id, day);
CREATE INDEX rollup_day_end_user ON ledger.rollup_day (end_user_id, day);
CREATE INDEX rollup_day_model_group ON ledger.rollup_day (model_group, day);
CREATE INDEX rollup_day_tag_tag ON ledger.rollup_day_tag (tag, day);
