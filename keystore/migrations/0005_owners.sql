-- Terms of keys, everybody else whom calls are counted to, and the audit log.

-- What a key may do and spend is one document from here on, as every owner has it (keystore/policy/terms.py).
ALTER TABLE keystore.keys
    ADD COLUMN terms jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN organization_id text NOT NULL DEFAULT '',
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN aliases jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN allowed_routes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN updated_by text NOT NULL DEFAULT '',
    -- The secret before this one, while both are good.
    ADD COLUMN previous_token text,
    ADD COLUMN previous_until timestamptz,
    ADD COLUMN spent_since timestamptz,
    ADD COLUMN spent_before_nano_usd bigint NOT NULL DEFAULT 0 CHECK (spent_before_nano_usd >= 0),
    ADD COLUMN rotation_interval text NOT NULL DEFAULT '',
    ADD COLUMN rotation_at timestamptz,
    ADD COLUMN rotation_count integer NOT NULL DEFAULT 0,
    ADD COLUMN drop_params boolean;
UPDATE keystore.keys SET terms = jsonb_strip_nulls(jsonb_build_object(
    'models', CASE WHEN models = '{}' THEN NULL ELSE to_jsonb(models) END,
    'max_budget_nano_usd', max_budget_nano_usd,
    'rpm_limit', rpm_limit,
    'tpm_limit', tpm_limit,
    'max_parallel_requests', max_parallel_requests
));
ALTER TABLE keystore.keys
    DROP COLUMN models,
    DROP COLUMN max_budget_nano_usd,
    DROP COLUMN rpm_limit,
    DROP COLUMN tpm_limit,
    DROP COLUMN max_parallel_requests;
CREATE INDEX keys_previous_token ON keystore.keys (previous_token) WHERE previous_token IS NOT NULL;
CREATE INDEX keys_created ON keystore.keys (created_at, key_id) WHERE NOT deleted;
CREATE INDEX keys_user ON keystore.keys (user_id) WHERE NOT deleted AND user_id <> '';
CREATE INDEX keys_team ON keystore.keys (team_id) WHERE NOT deleted AND team_id <> '';
CREATE INDEX keys_organization ON keystore.keys (organization_id) WHERE NOT deleted AND organization_id <> '';
CREATE INDEX keys_budget ON keystore.keys ((terms ->> 'budget_id')) WHERE NOT deleted AND terms ? 'budget_id';
CREATE INDEX keys_rotation ON keystore.keys (rotation_at) WHERE NOT deleted AND rotation_at IS NOT NULL;

-- Deleted ones stay, so that every keystore learns of it.
CREATE TABLE keystore.owners (
    kind text NOT NULL,
    id text NOT NULL,
    alias text NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    organization_id text NOT NULL,
    blocked boolean NOT NULL,
    terms jsonb NOT NULL,
    member_terms jsonb,
    aliases jsonb NOT NULL,
    metadata jsonb NOT NULL,
    attributes jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    deleted boolean NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX owners_version ON keystore.owners (version, kind, id);
CREATE INDEX owners_created ON keystore.owners (kind, created_at, id) WHERE NOT deleted;
CREATE INDEX owners_user ON keystore.owners (user_id) WHERE NOT deleted AND user_id <> '';
CREATE INDEX owners_team ON keystore.owners (team_id) WHERE NOT deleted AND team_id <> '';
CREATE INDEX owners_organization ON keystore.owners (organization_id) WHERE NOT deleted AND organization_id <> '';
CREATE INDEX owners_budget ON keystore.owners ((terms ->> 'budget_id')) WHERE NOT deleted AND terms ? 'budget_id';
CREATE INDEX owners_member_budget ON keystore.owners ((member_terms ->> 'budget_id'))
    WHERE NOT deleted AND member_terms ? 'budget_id';
CREATE UNIQUE INDEX owners_email ON keystore.owners (lower(email))
    WHERE NOT deleted AND kind = 'user' AND email <> '';

-- Every change by an administrator, written in its own transaction. Ids are in the order of the commits, for a change
-- has the feed's row locked.
CREATE TABLE keystore.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    changed_by text NOT NULL,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX audit_at ON keystore.audit (at);
CREATE INDEX audit_object ON keystore.audit (object_id, object_kind, id);
CREATE INDEX audit_actor ON keystore.audit (changed_by, id);

CREATE FUNCTION keystore.refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON keystore.audit
    FOR EACH STATEMENT EXECUTE FUNCTION keystore.refuse_change_of_audit();
