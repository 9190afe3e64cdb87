"""Users, teams, customers, organisations, budgets and tags as LiteLLM's paths write and show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.v1 import keystore_pb2

from edge.admin.columns import ATTRIBUTES, Column, attributes_of, shown
from edge.admin.kinds import FLAG, MAPPING, NAMES, OBJECT, TEXT
from edge.admin.terms import (
    BUDGET,
    COMMON,
    FOR_MEMBERS,
    MODELS,
    OF_MEMBERS,
    PER_MODEL,
    SHADOW,
    TEMPORARY,
    budget_table,
)
from edge.admin.times import iso
from services.money import usd_from_nano

Owner = keystore_pb2.Owner
Budgets = Mapping[str, Owner]

_METADATA = Column("metadata", "metadata_json", OBJECT)
_BLOCKED = Column("blocked", "blocked", FLAG)
# Limits of single models are kept to of keys and teams alone.
_TERMS = COMMON

USER_COLUMNS: Sequence[Column] = (
    Column("user_alias", "alias", TEXT),
    Column("user_email", "email", TEXT),
    Column("user_role", "role", TEXT),
    Column("sso_user_id", "sso_user_id", TEXT, ATTRIBUTES),
    _METADATA,
    _BLOCKED,
    *_TERMS,
)
TEAM_COLUMNS: Sequence[Column] = (
    Column("team_alias", "alias", TEXT),
    Column("organization_id", "organization_id", TEXT),
    Column("model_aliases", "aliases", MAPPING),
    _METADATA,
    _BLOCKED,
    *_TERMS,
    *PER_MODEL,
    *FOR_MEMBERS,
)
CUSTOMER_COLUMNS: Sequence[Column] = (Column("alias", "alias", TEXT), _METADATA, _BLOCKED, *_TERMS)
ORGANIZATION_COLUMNS: Sequence[Column] = (Column("organization_alias", "alias", TEXT), _METADATA, _BLOCKED, *_TERMS)
BUDGET_COLUMNS: Sequence[Column] = (
    *BUDGET,
    *PER_MODEL,
    SHADOW,
    *TEMPORARY,
    Column("allowed_models", "models", NAMES, "terms"),
)
# Which models a call may name is not a matter of its tags.
TAG_COLUMNS: Sequence[Column] = (
    Column("description", "description", TEXT, ATTRIBUTES),
    *(column for column in _TERMS if column is not MODELS),
)
TEAM_MEMBER_COLUMNS = OF_MEMBERS
# Nobody counts what a member spends for an organisation by itself.
ORGANIZATION_MEMBER_COLUMNS: Sequence[Column] = ()

# Members of LiteLLM's rows that nothing is kept for.
_USER_ABSENT: Mapping[str, object] = {
    "verified_subjects": None,
    "team_id": None,
    "organization_id": None,
    "object_permission_id": None,
    "password_reset_required": None,
    "last_breach_check_at": None,
    "allowed_cache_controls": [],
    "policies": [],
    "model_spend": {},
    "model_max_budget": {},
    "model_max_budget_usage": {},
    "litellm_organization_table": None,
    "organization_memberships": None,
    "invitations_created": None,
    "invitations_updated": None,
    "invitations_user": None,
    "object_permission": None,
}
_TEAM_ABSENT: Mapping[str, object] = {
    "admins": [],
    "members": [],
    "team_member_permissions": [],
    "tpd_limit": None,
    "router_settings": {},
    "access_group_ids": [],
    "model_id": None,
    "model_spend": {},
    "model_max_budget_usage": {},
    "policies": [],
    "allow_team_guardrail_config": False,
    "litellm_organization_table": None,
    "litellm_model_table": None,
    "object_permission": None,
    "object_permission_id": None,
    "projects": None,
    "access_group_models": None,
    "access_group_mcp_server_ids": None,
    "access_group_agent_ids": None,
    "access_group_details": None,
    "organization_models": None,
    "team_member_budget_table": None,
}
_CUSTOMER_ABSENT: Mapping[str, object] = {
    "allowed_model_region": None,
    "default_model": None,
    "object_permission_id": None,
    "object_permission": None,
}
_ORGANIZATION_ABSENT: Mapping[str, object] = {
    "model_spend": {},
    "object_permission_id": None,
    "object_permission": None,
}


def _times(owner: Owner) -> dict[str, object]:
    return {
        "created_at": iso(owner.created_ms),
        "created_by": owner.created_by or None,
        "updated_at": iso(owner.updated_ms),
        "updated_by": owner.updated_by or None,
    }


def spent(owner: Owner) -> float | None:
    """In dollars; None: nobody knows now, or it was not asked for."""
    return usd_from_nano(owner.spent_nano_usd) if owner.HasField("spent_nano_usd") else None


def user_row(user: Owner, team_ids: Iterable[str] = ()) -> dict[str, object]:
    """A user."""
    return {
        "user_id": user.id,
        **_USER_ABSENT,
        **shown(USER_COLUMNS, user),
        "teams": list(team_ids),
        "spend": spent(user),
        "budget_reset_at": iso(user.budget_reset_ms),
        **_times(user),
    }


def member_row(member: Owner, user: Owner | None) -> dict[str, object]:
    """A member, as the team's row lists them."""
    return {
        "user_id": member.user_id,
        "user_email": user.email or None if user is not None else None,
        "user_alias": user.alias or None if user is not None else None,
        "role": member.role or "user",
    }


def team_row(team: Owner, members: Iterable[Owner], users: Mapping[str, Owner] | None = None) -> dict[str, object]:
    """A team. users: who its members are, by their ids."""
    return {
        "team_id": team.id,
        **_TEAM_ABSENT,
        **shown(TEAM_COLUMNS, team),
        "members_with_roles": [member_row(member, (users or {}).get(member.user_id)) for member in members],
        "spend": spent(team),
        "budget_reset_at": iso(team.budget_reset_ms),
        **_times(team),
    }


def membership_row(member: Owner, budgets: Budgets) -> dict[str, object]:
    """A membership of a team, with what its member may spend there."""
    table = budget_table(member.terms, member.budget_reset_ms, member.created_ms, budgets)
    return {
        "user_id": member.user_id,
        "team_id": member.team_id,
        "budget_id": member.terms.budget_id or None,
        "spend": spent(member),
        "total_spend": spent(member),
        "litellm_budget_table": table,
        "budget_source": "none" if table is None else "member",
    }


def customer_row(customer: Owner, budgets: Budgets) -> dict[str, object]:
    """A customer, whom LiteLLM calls end user too."""
    return {
        "user_id": customer.id,
        **_CUSTOMER_ABSENT,
        **shown(CUSTOMER_COLUMNS, customer),
        "spend": spent(customer),
        "litellm_budget_table": budget_table(customer.terms, customer.budget_reset_ms, customer.created_ms, budgets),
        **_times(customer),
    }


def organization_row(organization: Owner, budgets: Budgets) -> dict[str, object]:
    """An organisation."""
    return {
        "organization_id": organization.id,
        **_ORGANIZATION_ABSENT,
        **shown(ORGANIZATION_COLUMNS, organization),
        "spend": spent(organization),
        "litellm_budget_table": budget_table(
            organization.terms, organization.budget_reset_ms, organization.created_ms, budgets
        ),
        **_times(organization),
    }


# LiteLLM's roles in an organisation, of which one decides.
ORGANIZATION_ROLES: Mapping[str, str] = {"admin": "org_admin", "user": "internal_user"}


def organization_member_row(member: Owner, budgets: Budgets) -> dict[str, object]:
    """A membership of an organisation."""
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "user_role": ORGANIZATION_ROLES.get(member.role, ORGANIZATION_ROLES["user"]),
        "spend": spent(member),
        "budget_id": member.terms.budget_id or None,
        "litellm_budget_table": budget_table(member.terms, member.budget_reset_ms, member.created_ms, budgets),
        "created_at": iso(member.created_ms),
        "updated_at": iso(member.updated_ms),
    }


def tag_row(tag: Owner, budgets: Budgets) -> dict[str, object]:
    """A tag that somebody has made."""
    return {
        "name": tag.id,
        "description": attributes_of(tag).get("description"),
        "models": [],
        **shown(BUDGET, tag),
        "model_info": {},
        "spend": spent(tag),
        "budget_id": tag.terms.budget_id or None,
        "litellm_budget_table": budget_table(tag.terms, tag.budget_reset_ms, tag.created_ms, budgets),
        **_times(tag),
    }
