"""The keystore's SQL."""

_COLUMNS = (
    "key_id, token, key_name, key_alias, models, max_budget_nano_usd, blocked, expires_at, created_at, updated_at, "
    "user_id, team_id, metadata, rpm_limit, tpm_limit, max_parallel_requests, deleted, version"
)

# Before anything else in a change: it locks the feed's row until the commit.
_BUMP = "WITH bumped AS (UPDATE keystore.feed SET version = version + 1 RETURNING version)"

# What is given for a key, in this order, when it is made and when it changes.
GIVEN = (
    "token",
    "key_name",
    "key_alias",
    "models",
    "max_budget_nano_usd",
    "blocked",
    "expires_at",
    "user_id",
    "team_id",
    "metadata",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
)

INSERT = f"""
{_BUMP}
INSERT INTO keystore.keys (key_id, created_at, updated_at, {", ".join(GIVEN)}, deleted, version)
SELECT $1, $2, $2, {", ".join(f"${place}" for place, _ in enumerate(GIVEN, 3))}, false, version FROM bumped
RETURNING version
"""  # noqa: S608 (columns of ours)

# Key, columns that change, when, then a value for each of GIVEN. Columns keep what they have by themselves, so
# changes of different ones at once are both kept.
_CHANGES = ", ".join(
    f"{column} = CASE WHEN '{column}' = ANY($2::text[]) THEN ${place} ELSE k.{column} END"
    for place, column in enumerate(GIVEN, 4)
)
UPDATE = f"""
{_BUMP}
UPDATE keystore.keys k SET {_CHANGES}, updated_at = $3, version = bumped.version,
    retired_tokens = CASE WHEN 'token' = ANY($2::text[]) THEN k.retired_tokens || k.token ELSE k.retired_tokens END
FROM bumped WHERE k.key_id = $1 AND NOT k.deleted
RETURNING k.*
"""  # noqa: S608

IS_RETIRED = "SELECT EXISTS (SELECT FROM keystore.keys WHERE retired_tokens @> ARRAY[$1::text])"

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

# What is NULL is not asked for.
_LISTED = """
FROM keystore.keys WHERE NOT deleted AND ($1::text IS NULL OR user_id = $1) AND ($2::text IS NULL OR team_id = $2)
    AND ($3::text IS NULL OR key_alias = $3) AND ($4::text[] IS NULL OR token = ANY($4) OR key_id = ANY($4))
"""
LIST = f"SELECT {_COLUMNS} {_LISTED} ORDER BY created_at DESC, key_id LIMIT $5 OFFSET $6"
COUNT = f"SELECT count(*) {_LISTED}"

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
