"""Which keys of config.yaml are known, by the section that they stand in, and which of them anything acts on.

    standing("router_settings", "num_retries")

`READ` describes what is read: the reference (docs/reference/config.md) is made of it, and tests hold it to what the
readers ask for. `ACCEPTED` names what LiteLLM knows beside it. Anything else is unknown, which is worth a warning, for
it may be a typo, and never an error.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.costs import CALL_COSTS, TOKEN_COSTS, price_of
from services.model_list import BODY_MEMBERS, PROVIDER_OPTIONS, READING_MEMBERS

# Sections, as paths in which a list is `[]`. Of what is inside any others nothing is known.
TOP = ""
ENTRY = "model_list[]"
PARAMS = "model_list[].litellm_params"
INFO = "model_list[].model_info"
LITELLM = "litellm_settings"
GENERAL = "general_settings"
TEAMS = "general_settings.default_team_settings"
ROUTER = "router_settings"


class Standing(enum.Enum):
    """What becomes of a key."""

    ACTED_ON = "acted on"
    NOT_YET = "not acted on yet"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is read. kind: what may stand there; what: its effect, and its default."""

    kind: str
    what: str


_COST = Key("USD a token", "From `litellm_params`, else from `model_info`, else from the bundled price table.")
_COSTS = {
    **dict.fromkeys(TOKEN_COSTS, _COST),
    **dict.fromkeys(
        CALL_COSTS,
        Key("USD a call", "What a call costs beside its tokens, or each search of a rerank. From the same places."),
    ),
}
_COUNT = "whole number"
_SECONDS = "seconds"
_DURATION = "`30s`, `2h`, `7d`, `1mo`"
_FALLBACKS = "list of {group: [groups]}"

# What stands in both sections; `router_settings` wins.
_RETRIES = {
    "num_retries": Key(_COUNT, "How often a call is tried again within its group. Default 2."),
    "retry_after": Key(_SECONDS, "The least wait between two tries. Default 0."),
    "fallbacks": Key(_FALLBACKS, "The groups to try when all of a group has failed."),
    "default_fallbacks": Key("list of groups", "The same for groups that have no fallbacks of their own."),
    "max_fallbacks": Key(_COUNT, "How many groups are tried for one call. Default 5."),
    "allowed_fails": Key(_COUNT, "Failures in a minute after which a deployment rests."),
    "cooldown_time": Key(_SECONDS, "How long it rests. Default 5."),
}

READ: Mapping[str, Mapping[str, Key]] = {
    TOP: {
        "model_list": Key("list", "The deployments. Several of one `model_name` are a group and share its calls."),
        "litellm_settings": Key("mapping", "See below."),
        "general_settings": Key("mapping", "See below."),
        "router_settings": Key("mapping", "See below."),
        "include": Key(
            "path, or list of paths",
            "Files to read with this one, relative to it. Lists at the top are appended, mappings updated.",
        ),
        "environment_variables": Key(
            "mapping", "Put into the environment before anything else is read; they win over what is there."
        ),
    },
    ENTRY: {
        "model_name": Key("text", "What callers ask for: the model group. Required."),
        "litellm_params": Key("mapping", "How the deployment is called. See below."),
        "model_info": Key("mapping", "What is known of it. See below."),
    },
    PARAMS: {
        "model": Key("text", "`provider/model`; without a provider it is found in the price table. Required."),
        "api_base": Key("URL", "Where the provider is. Default: its own address."),
        "base_url": Key("URL", "Another word for `api_base`."),
        "api_key": Key("text", "Default: the provider's variable, `OPENAI_API_KEY` for one."),
        "custom_llm_provider": Key("text", "The provider, where `model` does not begin with it."),
        "mock_response": Key("text", "Answered at once, without calling anybody."),
        "timeout": Key(_SECONDS, "Of one attempt. Default: `router_settings.timeout`."),
        "stream_timeout": Key(_SECONDS, "Of one attempt of a streamed call. Default: `timeout`."),
        "weight": Key("number", "This deployment's share of the group's calls."),
        "rpm": Key(_COUNT, "Requests a minute: its share where no deployment has a weight."),
        "tpm": Key(_COUNT, "Tokens a minute: its share where none has a weight or an rpm."),
        "drop_params": Key("true or false", "As `litellm_settings.drop_params`, for this deployment."),
        "additional_drop_params": Key(
            "list", "Members of the body that are never sent; `tools[*].strict` is one inside a member."
        ),
        "allowed_openai_params": Key("list", "Members that are sent, though the provider is not known to take them."),
        "extra_headers": Key("mapping", "Headers sent to the provider."),
        "extra_body": Key("mapping", "Members of the body sent to the provider; they win over the caller's."),
        **{name: Key("text", what) for name, what in PROVIDER_OPTIONS.items()},
        **_COSTS,
        **dict.fromkeys(
            (*BODY_MEMBERS, *READING_MEMBERS), Key("JSON", "A member of the body, for callers who do not give it.")
        ),
    },
    INFO: {
        "id": Key("text", "The deployment's name in the ledger. Default: a hash of what is written of it."),
        "base_model": Key("text", "The model whose price and limits hold, where `model` does not say."),
        "mode": Key("text", "What it is for: `chat`, `embedding`, `rerank`. Default: what its name says, or `chat`."),
        "max_tokens": Key(_COUNT, "An older word for `max_output_tokens`."),
        "max_input_tokens": Key(_COUNT, "The longest input. Default: the price table's."),
        "max_output_tokens": Key(_COUNT, "The longest answer, which bounds what a call may cost."),
        "access_groups": Key("list", "Names that stand for this group in the `models` of keys and teams."),
        **_COSTS,
    },
    LITELLM: {
        "max_budget": Key("USD", "What the whole gateway may spend in `budget_duration`. 0: no limit, the default."),
        "budget_duration": Key(_DURATION, "The period of `max_budget`. Default: all time."),
        "timezone": Key("name", "Where the days, weeks and months of budgets begin. Default `UTC`."),
        "max_end_user_budget": Key("USD", "What a customer may spend who has no budget. Default: any amount."),
        "max_end_user_budget_id": Key("text", "The budget of customers who name none."),
        "budget_exceeded_status_code": Key("400 to 599", "The status of a call that no budget allows. Default 422."),
        "request_timeout": Key(_SECONDS, "Of one attempt. Default 600."),
        "drop_params": Key("true or false", "Drop what a provider does not know, instead of refusing the call."),
        "cost_discount_config": Key(
            "{provider: part}", "What is taken off the cost of a provider's calls: 0.05 is 5 percent."
        ),
        "cost_margin_config": Key(
            "{provider: part}",
            "What is put on it after that; a value may also be `{percentage, fixed_amount}`, the amount in USD a call. "
            "`global`: of providers that have none.",
        ),
        "default_key_generate_params": Key("mapping", "Members of `/key/generate` that its callers do not give."),
        "upperbound_key_generate_params": Key(
            "mapping",
            "The most that a key may be made or changed with, and what it gets that names none: `max_budget`, "
            "`budget_duration`, `duration`, `max_parallel_requests`, `tpm_limit`, `rpm_limit`.",
        ),
        "default_internal_user_params": Key("mapping", "Members of `/user/new` that its callers do not give."),
        "max_internal_user_budget": Key("USD", "The same as `max_budget` there."),
        "internal_user_budget_duration": Key("duration", "The same as `budget_duration` there."),
        "default_team_params": Key("mapping", "Members of `/team/new` that its callers do not give."),
        "key_generation_settings": Key(
            "mapping",
            "Who but admins makes keys: `personal_key_generation.allowed_user_roles`, "
            "`team_key_generation.allowed_team_member_roles` (default `[admin]`), and `required_params` of both.",
        ),
        **_RETRIES,
    },
    GENERAL: {
        "master_key": Key("text", "The admin's key. Default: `LITELLM_MASTER_KEY`."),
        "database_url": Key("URL", "PostgreSQL 15 or newer. Default: `DATABASE_URL`."),
        "dangerously_permit_weak_or_unset_master_key": Key(
            "true or false",
            "Let a gateway that others can reach start with a master key that everybody knows, such as `sk-1234`.",
        ),
        "global_max_parallel_requests": Key(_COUNT, "Calls at once, of all keys together. Default: any number."),
        "max_parallel_requests": Key(_COUNT, "Calls at once of a key that does not say. Default: any number."),
        "default_team_settings": Key("mapping", "Of teams that have none of their own; see below."),
        "apply_user_budget_to_team_keys": Key(
            "true or false", "A user's budget and limits are for calls with keys of a team too. Default false."
        ),
        "strict_budgets": Key(
            "true or false",
            "Refuse calls under a budget that nothing in them bounds: server tools, stored context, media elsewhere. "
            "Default false: as much is held for them as the model can cost.",
        ),
        "maximum_spend_logs_retention_period": Key(
            "duration",
            "How long single entries are kept, in whole days: `30d`, `72h`, `4w`, `6mo` (of 31 days); sums stay. At "
            "least a day. Default: for ever.",
        ),
        "litellm_key_header_name": Key("name", "One more header that carries keys; it wins over all others."),
        "alerting": Key(
            "list of `slack`, `webhook`, `email`",
            "Where operators are told of what needs them ([how](../how-to/alerts.md)). Default: nowhere.",
        ),
        "alerting_threshold": Key(_SECONDS, "From when on a call is slow, or hangs. Default 300."),
        "alert_types": Key(
            "list",
            "What is told: `budget_alerts`, `spend_reports`, `llm_too_slow`, `llm_requests_hanging`, "
            "`cooldown_deployment`, `outage_alerts`, `ledger_lag`. Default: all of these.",
        ),
        "alert_to_webhook_url": Key("{type: URL, or list of URLs}", "Slack's webhooks of single types."),
        "spend_report_frequency": Key(
            "`12h`, `1d`, `7d`, `1mo`", "What a spend report is of; it comes when that is over. Default `7d`."
        ),
        "alerting_args": Key(
            "mapping",
            "`ledger_lag_threshold`: seconds that entries may wait for the ledger, default 120. `email_to`: whom mail "
            "goes to, default `SMTP_SENDER_EMAIL`.",
        ),
        "export_webhook": Key(
            "{url, secret, headers}",
            "An address that every entry is delivered to ([how](../how-to/exports.md)). Default: none.",
        ),
        "export_bucket": Key(
            "{bucket, prefix, region, endpoint, access_key_id, secret_access_key, session_token}",
            "A bucket, as of S3, that every entry is delivered to ([how](../how-to/exports.md)). Default: none.",
        ),
    },
    TEAMS: {
        "max_budget": Key("USD", "What a team may spend in `budget_duration`. Default: any amount."),
        "budget_duration": Key(_DURATION, "The period of `max_budget`. Default: all time."),
        "rpm_limit": Key(_COUNT, "Calls a minute. Default: any number."),
        "tpm_limit": Key(_COUNT, "Tokens a minute. Default: any number."),
        "max_parallel_requests": Key(_COUNT, "Calls at once. Default: any number."),
    },
    ROUTER: {
        "timeout": Key(_SECONDS, "Of one attempt. Default: `litellm_settings.request_timeout`."),
        "stream_timeout": Key(_SECONDS, "Of one attempt of a streamed call."),
        "routing_strategy": Key("name", "How a deployment of a group is chosen. Default `simple-shuffle`."),
        "model_group_alias": Key(
            "{alias: group}", "Other names of groups; a value may also be a list of groups, or `{model, hidden}`."
        ),
        **_RETRIES,
    },
}  # fmt: skip

# LiteLLM's other keys.
ACCEPTED: Mapping[str, frozenset[str]] = {
    section: frozenset(names.split())
    for section, names in {
        TOP: """
            assistant_settings callback_settings cloud_run credential_list default_vertex_config files_settings
            finetune_settings guardrails mcp_servers mcp_tools policies prompts search_tools vector_store_registry
        """,
        ENTRY: "order rpm tags tpm weight",
        PARAMS: """
            auto_router_config auto_router_config_path
            auto_router_default_model auto_router_embedding_model bos_token budget_duration
            cache_control_injection_points
            configurable_clientside_auth_params cooldown_time default_api_key_rpm_limit
            default_api_key_tpm_limit eos_token fallbacks final_prompt_value guardrails
            hf_model_name itpm litellm_credential_name litellm_trace_id max_budget max_parallel_requests
            max_retries merge_reasoning_content_in_choices metadata model_info n num_retries order otpm
            prompt_id prompt_variables region_name request_timeout roles ssl_verify stream_timeout_by_service_tier
            tag_regex tags thinking tiered_pricing timeout_by_service_tier top_k use_in_pass_through
            use_litellm_proxy voice
        """,
        INFO: """
            allowed_fails allowed_fails_policy blocked created_at created_by db_model deprecation_date
            description disable_background_health_check discoverable health_check_max_tokens health_check_model
            health_check_timeout litellm_provider metadata output_vector_size provider_specific_entry rpm source
            supported_environments team_id team_public_model_name tier tiered_pricing tpm updated_at updated_by version
        """,
        LITELLM: """
            add_function_to_prompt block_requests_for_models_without_pricing cache cache_params
            callbacks content_policy_fallbacks context_window_fallbacks
            custom_prometheus_metadata_labels custom_prometheus_tags custom_provider_map
            default_team_settings
            disable_add_transform_inline_image_block disable_copilot_system_to_assistant
            disable_end_user_cost_tracking disable_end_user_cost_tracking_prometheus_only
            disable_hf_tokenizer_download enable_caching_on_provider_specific_optional_params
            enable_json_schema_validation enable_key_alias_format_validation enable_preview_features
            enable_redis_auth_cache expose_router_debug_in_errors extra_spend_tag_headers failure_callback force_ipv4
            include_cost_in_streaming_usage json_logs
            langfuse_default_tags
            max_ui_session_budget mcp_aliases model_alias_map model_group_settings modify_params
            priority_reservation priority_reservation_settings prometheus_metrics_config public_model_groups
            public_model_groups_links redact_user_api_key_info require_auth_for_metrics_endpoint service_callback
            service_callbacks set_verbose ssl_certificate ssl_verify store_audit_logs success_callback
            turn_off_message_logging use_chat_completions_url_for_anthropic_messages
        """,
        GENERAL: """
            admin_only_routes admission_queue_timeout_seconds
            allow_client_side_credentials allow_requests_on_db_unavailable allow_user_auth
            allowed_ips allowed_routes always_include_stream_usage
            background_health_checks cancel_on_disconnect completion_model coordination_redis custom_auth
            custom_key_generate custom_sso
            database_connection_pool_limit database_connection_timeout
            default_team_disabled disable_adding_master_key_hash_to_db
            disable_budget_reservation disable_error_logs disable_master_key_return disable_prisma_schema_update
            disable_reset_budget disable_responses_id_security disable_retry_on_max_parallel_request_limit_error
            disable_spend_logs disable_spend_updates embedding_model enable_health_check_routing enable_jwt_auth
            enable_oauth2_auth enable_oauth2_proxy_auth enforce_user_param enforced_params
            fail_closed_rate_limit_enforcement forward_client_headers_to_llm_api forward_llm_provider_auth_headers
            forward_openai_org_id health_check_concurrency health_check_details
            health_check_interval health_check_staleness_threshold image_generation_model infer_model_from_keys
            key_management_settings key_management_system litellm_jwtauth litellm_license
            max_in_flight_requests_per_worker max_queued_requests_per_worker
            max_request_size_mb max_response_size_mb maximum_spend_logs_cleanup_cron
            maximum_spend_logs_retention_interval missing_session_id
            moderation_model oauth2_config_mappings pass_through_endpoints proxy_batch_polling_interval
            proxy_batch_write_at proxy_budget_rescheduler_max_time proxy_budget_rescheduler_min_time
            proxy_config_reload_interval_seconds public_routes reject_clientside_metadata_tags
            service_account_settings store_model_in_db store_prompts_in_spend_logs
            supported_db_objects ui_access_mode use_azure_key_vault use_client_credentials_pass_through_routes
            use_google_kms use_redis_transaction_buffer use_shared_health_check use_x_forwarded_for
            user_api_key_cache_ttl user_header_mappings user_header_name user_mcp_management_mode
        """,
        TEAMS: "",
        ROUTER: """
            alerting_config allowed_fails_policy assistants_config cache_kwargs cache_responses caching_groups
            client_ttl content_policy_fallbacks context_window_fallbacks debug_level default_litellm_params
            default_max_parallel_requests default_priority deployment_affinity_ttl_seconds disable_cooldowns
            enable_pre_call_check enable_pre_call_checks enable_tag_filtering enable_weighted_failover guardrail_list
            ignore_invalid_deployments model_group_affinity_config model_group_retry_policy
            optional_pre_call_checks polling_interval provider_budget_config redis_db redis_host redis_password
            redis_port redis_url retry_policy router_general_settings routing_groups routing_strategy_args
            search_tools set_verbose tag_filtering_match_any weights
        """,
    }.items()
}

# LiteLLM's prices: some 130, all made alike.
_OTHER_COSTS = (
    r"\w+_cost(_per_(1k_)?(audio_|image_|reasoning_|video_)?(token|second|image|pixel|character|query|page|"
    + (r"session|calls|tokens|gb_per_day|video_per_second|audio_per_second))?(_(above_\w+|batches|flex|priority))*")
)
_CLOUDS = r"(aws|azure|vertex|watsonx|s3|gcs)_\w+"
FAMILIES: Mapping[str, re.Pattern[str]] = {
    PARAMS: re.compile(rf"supports_\w+|mock_\w+|{_CLOUDS}|{_OTHER_COSTS}"),
    INFO: re.compile(rf"supports_\w+|{_OTHER_COSTS}"),
}

# How much alike two names must be for one to be a typo of the other: one wrong letter in six.
_LIKENESS = 0.8
_MAX_NEAR = 2


def standing(section: str, name: str) -> Standing:
    """What becomes of a key of a section, both without the numbers of lists."""
    if name in READ[section] or (section in (PARAMS, INFO) and price_of(name)):
        return Standing.ACTED_ON
    family = FAMILIES.get(section)
    known = name in ACCEPTED[section] or (family is not None and family.fullmatch(name))
    return Standing.NOT_YET if known else Standing.UNKNOWN


def near_names(section: str, name: str) -> tuple[str, ...]:
    """What an unknown key may have been meant to be: itself in another section, else one with a name like it."""
    elsewhere = [
        f"{other}.{name}" if other else name for other in READ if name in READ[other] or name in ACCEPTED[other]
    ]
    if not elsewhere:
        known = [*READ[section], *sorted(ACCEPTED[section])]
        elsewhere = difflib.get_close_matches(name.lower(), known, n=_MAX_NEAR, cutoff=_LIKENESS)
    return tuple(elsewhere[:_MAX_NEAR])
