-- Secrets that a key has had before: none of them may ever be one of another key, or of this one again.
ALTER TABLE keystore.keys ADD COLUMN retired_tokens text[] NOT NULL DEFAULT '{}';
CREATE INDEX keys_retired ON keystore.keys USING gin (retired_tokens);
