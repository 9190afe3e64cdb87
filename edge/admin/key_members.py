"""Virtual keys as LiteLLM's paths write and show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.v1 import keystore_pb2

from edge.admin.columns import ATTRIBUTES, Column, refuse_others, shown
from edge.admin.kinds import DURATION, FLAG, MAPPING, NAMES, OBJECT, OPTIONAL_FLAG, TEXT
from edge.admin.terms import COMMON, PER_MODEL, budget_table, fill_checked
from edge.admin.times import duration_seconds, iso
from edge.admin.words import Body, invalid, text_of, texts_of
from services.money import usd_from_nano

COLUMNS: Sequence[Column] = (
    Column("key_alias", "key_alias", TEXT),
    Column("user_id", "user_id", TEXT),
    Column("team_id", "team_id", TEXT),
    Column("organization_id", "organization_id", TEXT),
    Column("metadata", "metadata_json", OBJECT),
    Column("tags", "tags", NAMES),
    Column("aliases", "aliases", MAPPING),
    Column("allowed_routes", "allowed_routes", NAMES),
    Column("blocked", "blocked", FLAG),
    Column("rotation_interval", "rotation_interval", DURATION),
    Column("drop_params", "drop_params", OPTIONAL_FLAG),
    Column("key_type", "key_type", TEXT, ATTRIBUTES),
    Column("agent_id", "agent_id", TEXT, ATTRIBUTES),
    Column("project_id", "project_id", TEXT, ATTRIBUTES),
    *COMMON,
    *PER_MODEL,
)
# What else bodies have that is acted on.
ALSO = ("key", "duration", "auto_rotate")
# What the types of keys may call, as LiteLLM presets it.
KEY_TYPES: Mapping[str, Sequence[str]] = {
    "default": (),
    "llm_api": ("llm_api_routes",),
    "management": ("management_routes",),
    "read_only": ("info_routes",),
}

# Members of LiteLLM's rows that nothing is kept for.
_ABSENT: Mapping[str, object] = {
    "config": {},
    "permissions": {},
    "tpd_limit": None,
    "allowed_cache_controls": [],
    "policies": [],
    "guardrails": None,
    "prompts": None,
    "access_group_ids": [],
    "model_spend": {},
    "budget_fallbacks": {},
    "object_permission": None,
    "router_settings": {},
}
# The same, of rows that are shown, and of the answers to those who make a key.
_ABSENT_IN_ROWS: Mapping[str, object] = {
    "soft_budget_cooldown": False,
    "object_permission_id": None,
    "settings_updated_at": None,
    "last_active": None,
    "litellm_organization_table": None,
    "litellm_project_table": None,
    "jwt_key_mappings": None,
}
_ABSENT_IN_ANSWERS: Mapping[str, object] = {
    "mcp_rpm_limit": None,
    "tag_rpm_limit": None,
    "default_estimated_output_tokens": None,
    "default_estimated_output_tokens_per_model": None,
    "end_user_budget_id": None,
    "disable_global_guardrails": None,
    "enable_prompt_caching": None,
    "throttle_on_budget_exceeded": None,
    "enforced_params": None,
    "allowed_passthrough_routes": None,
    "denied_passthrough_routes": None,
    "allowed_vector_store_indexes": None,
    "rpm_limit_type": None,
    "tpm_limit_type": None,
    # LiteLLM lists them all, each as null.
    "router_settings": dict.fromkeys(
        (
            *(
                "routing_strategy_args",
                "routing_strategy",
                "routing_groups",
                "retry_policy",
                "model_group_retry_policy",
            ),
            *("model_group_affinity_config", "allowed_fails", "cooldown_time", "num_retries", "timeout", "max_retries"),
            *("retry_after", "fallbacks", "context_window_fallbacks", "enable_tag_filtering", "weights"),
            *("tag_routing_prefix", "optional_pre_call_checks"),
        )
    )
    | {"model_group_alias": {}},
}


def normal(body: Body, before: keystore_pb2.Key | None = None) -> dict[str, Any]:
    """A body in which LiteLLM's several words for a thing are one: types of keys, tags in metadata, rotation by itself.

    before: the key that it changes.
    """
    said = dict(body)
    kind = said.get("key_type")
    if kind is not None:
        if not isinstance(kind, str) or kind not in KEY_TYPES:
            raise invalid(f"key_type must be one of {', '.join(KEY_TYPES)}.", "key_type")
        if KEY_TYPES[kind] and not said.get("allowed_routes"):
            said["allowed_routes"] = list(KEY_TYPES[kind])
    metadata = said.get("metadata")
    if isinstance(metadata, dict) and (tags := texts_of(metadata, "tags")):
        said["tags"] = list(dict.fromkeys([*texts_of(said, "tags"), *tags]))
    if "auto_rotate" in said:
        if not said.pop("auto_rotate"):
            said["rotation_interval"] = None
        elif not said.get("rotation_interval") and (before is None or not before.rotation_interval):
            raise invalid("auto_rotate needs a rotation_interval, such as 30d.", "rotation_interval")
    return said


def new_key(body: Body, now: datetime) -> keystore_pb2.CreateKeyRequest:
    """What a body asks for, as the keystore takes it."""
    refuse_others(body, COLUMNS, ALSO)
    asked = keystore_pb2.CreateKeyRequest(key=keystore_pb2.Key(metadata_json="{}"), secret=text_of(body, "key"))
    fill_checked(COLUMNS, body, asked.key)
    if duration := text_of(body, "duration"):
        asked.duration_seconds = duration_seconds(duration, now)
    return asked


def key_change(body: Body, before: keystore_pb2.Key, now: datetime) -> keystore_pb2.UpdateKeyRequest:
    """What a body changes of a key. null takes away what it has; what is not there stays as it is."""
    change = keystore_pb2.UpdateKeyRequest(name=before.key_id)
    change.members.extend(fill_checked(COLUMNS, body, change.key, before))
    if "duration" in body:
        change.members.append("expires_ms")
        if duration := text_of(body, "duration"):
            change.duration_seconds = duration_seconds(duration, now)
    return change


def key_row(key: keystore_pb2.Key, budgets: Mapping[str, keystore_pb2.Owner] | None = None) -> dict[str, object]:
    """A key as LiteLLM shows it. budgets: those that keys refer to, by id."""
    spent = usd_from_nano(key.spent_nano_usd) if key.HasField("spent_nano_usd") else None
    return {
        "token": key.token,
        "key_name": key.key_name,
        **_ABSENT,
        **_ABSENT_IN_ROWS,
        **(row := shown(COLUMNS, key)),
        "key_type": row["key_type"] or "default",
        "spend": spent,
        "total_spend": spent,
        "held": usd_from_nano(key.held_nano_usd),
        "expires": iso(key.expires_ms),
        "budget_reset_at": iso(key.budget_reset_ms),
        "rotation_count": key.rotation_count,
        "auto_rotate": bool(key.rotation_interval),
        "last_rotation_at": None,
        "key_rotation_at": iso(key.rotation_ms),
        "litellm_budget_table": _budget_table(key, budgets or {}),
        "org_id": key.organization_id or None,
        "created_at": iso(key.created_ms),
        "created_by": key.created_by or None,
        "updated_at": iso(key.updated_ms),
        "updated_by": key.updated_by or None,
    }


def _budget_table(key: keystore_pb2.Key, budgets: Mapping[str, keystore_pb2.Owner]) -> dict[str, object] | None:
    """LiteLLM keeps a key's soft budget there, and the budget that it shares with others."""
    if not (key.terms.budget_id or key.terms.HasField("soft_budget_nano_usd")):
        return None
    return budget_table(key.terms, key.budget_reset_ms, key.created_ms, budgets)


def answer_row(key: keystore_pb2.Key, secret: str) -> dict[str, object]:
    """The answer to who made a key, or gave it another secret: the only place that shows the secret."""
    return {**key_row(key), **_ABSENT_IN_ANSWERS, "key": secret, "token_id": key.token, "duration": None}
