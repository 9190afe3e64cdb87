-- Sums by the provider's model as well, and those of one key without reading everybody's.
--
-- ALTER TABLE holds the sums until the end of this file, so that they can be made anew from the entries: what is
-- committed is read here, and a batch under way adds itself afterwards. The default is for a ledger that has not been
-- restarted yet.
ALTER TABLE ledger.rollup_hour ADD COLUMN provider_model text NOT NULL DEFAULT '';

DELETE FROM ledger.rollup_hour;

INSERT INTO ledger.rollup_hour (
    hour, fact, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider,
    provider_model, operation, status, entries, cost_nano_usd, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens
)
SELECT
    ledger.hour_of(dispatch_id) AS hour,
    sha256(convert_to((
        key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
        operation, status
    )::text, 'UTF8')) AS fact,
    key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
    operation, status, count(*), sum(cost_nano_usd), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
    sum(cache_write_tokens), sum(reasoning_tokens)
FROM ledger.every_entry
GROUP BY
    hour, key_id, user_id, team_id, organization_id, end_user_id, deployment_id, model_group, provider, provider_model,
    operation, status;

-- Without the sums themselves: their changes must stay off every index.
CREATE INDEX rollup_hour_key ON ledger.rollup_hour (key_id);
