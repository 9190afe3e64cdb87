-- Sums of any scope and from any moment on, without reading everybody's rows.
--
-- Names and hours of a row never change, so that its sums still change off every index (HOT): no index may hold a sum.
DROP INDEX ledger.rollup_hour_key;
CREATE INDEX rollup_hour_key ON ledger.rollup_hour (key_id, hour);
CREATE INDEX rollup_hour_user ON ledger.rollup_hour (user_id, hour);
CREATE INDEX rollup_hour_team ON ledger.rollup_hour (team_id, hour);
CREATE INDEX rollup_hour_organization ON ledger.rollup_hour (organization_id, hour);
CREATE INDEX rollup_hour_end_user ON ledger.rollup_hour (end_user_id, hour);
CREATE INDEX rollup_hour_model_group ON ledger.rollup_hour (model_group, hour);
CREATE INDEX rollup_hour_tag_tag ON ledger.rollup_hour_tag (tag, hour);

-- One row: entries below this id may be gone by retention, their sums are not. It lies on the hour.
CREATE TABLE ledger.retained (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    first_id uuid NOT NULL
);

INSERT INTO ledger.retained (first_id) VALUES ('00000000-0000-0000-0000-000000000000');
