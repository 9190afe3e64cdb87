-- Sums by tag know all that the others know: a key may see its own tags alone, and a tag's spend has models and keys.
--
-- Made anew from the entries, as in 0002: DROP TABLE waits for batches under way, and what is committed is read here.
-- A ledger that has not been restarted yet cannot write to the new table: its batches fail whole and come again, and
-- the entries wait in the outboxes until a ledger of this version takes them.
DROP TABLE ledger.rollup_hour_tag;

-- An entry counts once for each of its tags. `fact` is that of `rollup_hour`.
CREATE TABLE ledger.rollup_hour_tag (
    hour timestamptz NOT NULL,
    tag text NOT NULL,
    fact bytea NOT NULL,
    key_id text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    organization_id text NOT NULL,
    end_user_id text NOT NULL,
    deployment_id text NOT NULL,
    model_group text NOT NULL,
    provider text NOT NULL,
    provider_model text NOT NULL,
    operation integer NOT NULL,
    status integer NOT NULL,
    entries bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    PRIMARY KEY (hour, tag, fact)
) WITH (fillfactor = 70);

INSERT INTO ledger.rollup_hour_tag (
    hour, tag, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status, entries, cost_nano_usd, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens
)
SELECT
    ledger.hour_of(dispatch_id) AS hour,
    tag,
    sha256(convert_to((
        key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
        operation, status
    )::text, 'UTF8')) AS fact,
    key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
    operation, status, count(*), sum(cost_nano_usd), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
    sum(cache_write_tokens), sum(reasoning_tokens)
FROM ledger.every_entry, jsonb_array_elements_text(tags) AS tag
GROUP BY
    hour, tag, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status;
