"""The keystore's SQL."""

_COLUMNS = (
    "key_id, token, key_name, key_alias, models, max_budget_nano_usd, blocked, expires_at, created_at, updated_at, "
    "user_id, team_id, metadata, rpm_limit, tpm_limit, max_parallel_requests, deleted, version"
)

# Before anything else in a change: it locks the feed's row until the commit.
_BUMP = "WITH bumped AS (UPDATE keystore.feed SET version = version + 1 RETURNING version)"

INSERT = f"""
{_BUMP}
INSERT INTO keystore.keys ({_COLUMNS})
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13, $14, $15, false, version FROM bumped
RETURNING version
"""  # noqa: S608 (columns of ours)

SET_BLOCKED = f"""
{_BUMP}
UPDATE keystore.keys k SET blocked = $2, updated_at = $3, version = bumped.version
FROM bumped WHERE k.key_id = $1 AND NOT k.deleted
RETURNING k.*
"""  # noqa: S608

DELETE = f"""
{_BUMP}
UPDATE keystore.keys k SET deleted = true, updated_at = $2, version = bumped.version
FROM bumped WHERE k.key_id = ANY($1) AND NOT k.deleted
RETURNING k.key_id, k.version
"""  # noqa: S608

FIND = f"SELECT {_COLUMNS} FROM keystore.keys WHERE (token = ANY($1) OR key_id = ANY($1)) AND NOT deleted"  # noqa: S608

FIND_ALIASES = f"SELECT {_COLUMNS} FROM keystore.keys WHERE key_alias = ANY($1) AND NOT deleted"  # noqa: S608

# A commit has one version, so a page may end inside one: the key id continues it.
CHANGES = f"""
SELECT {_COLUMNS} FROM keystore.keys WHERE (version, key_id) > ($1, $2) ORDER BY version, key_id LIMIT $3
"""  # noqa: S608

VERSION = "SELECT version FROM keystore.feed"

# Routers not seen for a day are forgotten: long after any lease.
SEE_ROUTERS = """
WITH forgotten AS (DELETE FROM keystore.routers WHERE last_seen < now() - interval '1 day' AND router_id <> ALL($1))
INSERT INTO keystore.routers (router_id, last_seen) SELECT unnest($1::text[]), now()
ON CONFLICT (router_id) DO UPDATE SET last_seen = now()
"""

ROUTERS = "SELECT router_id FROM keystore.routers WHERE last_seen > now() - make_interval(secs => $1)"

PEPPER = "SELECT fingerprint FROM keystore.pepper"

# Keep a fingerprint, if there is none; the one that is kept.
KEEP_PEPPER = """
INSERT INTO keystore.pepper AS kept (fingerprint) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET fingerprint = kept.fingerprint
RETURNING fingerprint
"""
