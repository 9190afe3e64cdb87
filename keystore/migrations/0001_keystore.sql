-- The keystore: virtual keys, and the routers that have holds with it.

-- One row. Whoever changes a key raises `version` in the same transaction and keeps the row locked until it commits, so
-- versions become visible in their order: who has seen one has seen all before it.
CREATE TABLE keystore.feed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL
);
INSERT INTO keystore.feed (version) VALUES (0);

-- Deleted keys stay, so that every keystore learns of it, and so that a secret never comes back to life.
CREATE TABLE keystore.keys (
    key_id text PRIMARY KEY,
    token text NOT NULL CONSTRAINT keys_token UNIQUE,
    key_name text NOT NULL,
    key_alias text,
    models text[] NOT NULL,
    max_budget_nano_usd bigint CHECK (max_budget_nano_usd >= 0),
    blocked boolean NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    metadata jsonb NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    version bigint NOT NULL
);
CREATE UNIQUE INDEX keys_alias ON keystore.keys (key_alias) WHERE NOT deleted;
CREATE INDEX keys_version ON keystore.keys (version);

CREATE TABLE keystore.routers (
    router_id text PRIMARY KEY,
    last_seen timestamptz NOT NULL
);
