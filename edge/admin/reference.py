"""Writes the page that tells who may use which admin route, from the table of access.

python -m edge.admin.reference > docs/reference/access.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from edge.admin.access import TABLE, Grant, Row
from services.allowed_routes import CALLS, INFO, MANAGEMENT

_WHO: Mapping[Grant, str] = {
    Grant.ANYBODY: "anybody, without a key",
    Grant.ADMIN: "proxy admins",
    Grant.VIEWER: "viewers",
    Grant.ORGANIZATION_ADMIN: "admins of the organisation",
    Grant.TEAM_ADMIN: "admins of the team",
    Grant.TEAM_MEMBER: "members of the team",
    Grant.USER: "users, of what is their own",
    Grant.USER_VIEWER: "users and viewing users, of what is their own",
    Grant.KEY: "any key, of itself",
}

_HEAD = f"""# Who may use which admin route

Made of the table in `edge/admin/access.py`, which also decides; `python -m edge.admin.reference` writes this page. A
route that is not in it may be used by nobody.

- **Proxy admins**: the master key, and keys of users whose role is `proxy_admin`. They get to everything.
- **Viewers**: keys of users who are `proxy_admin_viewer`. They see everything and change nothing.
- **Admins of the organisation, of the team**: keys of users who are `admin` (`org_admin`) in its list of members,
  whatever their own role, but for viewers, who change nothing anywhere. They get to what belongs to it: keys, members,
  and of an organisation its teams.
- **Users**: keys of users who are `internal_user` or `org_admin`; **viewing users** those who are
  `internal_user_viewer`, or have no role. Their own is what has their `user_id`.
- **Any key**: every virtual key that is neither blocked nor expired.

Who gets past this table to an object that is not theirs is refused all the same (401, with the parameter at fault). A
key that has `allowed_routes` may use only those: paths, `/x/*`, or the groups in the last column (`{CALLS}`,
`{MANAGEMENT}`, `{INFO}`).

| routes | who | groups |
| --- | --- | --- |
"""


def page() -> str:
    """The whole page."""
    routes: dict[Row, list[str]] = {}
    for route, row in TABLE.items():
        routes.setdefault(row, []).append(f"`{route}`")
    return _HEAD + "".join(
        f"| {', '.join(names)} | {_who(row.grant)} | {', '.join(f'`{group}`' for group in sorted(row.groups))} |\n"
        for row, names in routes.items()
    )


def _who(grant: Grant) -> str:
    return "; ".join(words for each, words in _WHO.items() if each in grant)


if __name__ == "__main__":
    sys.stdout.write(page())
