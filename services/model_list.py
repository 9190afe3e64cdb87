"""`model_list` of config.yaml: one entry a deployment, typed where something acts on it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from services.costs import CALL_COSTS, TOKEN_COSTS, Costs, price_of
from services.section import Section
from services.yamltext import ConfigError, Place

# A day: longer than any provider lets a request live.
_MAX_TIMEOUT_SECONDS = 86_400
# A millisecond: a timeout of 0 would fail every call.
_MIN_TIMEOUT_SECONDS = Decimal("0.001")
# The largest count that any provider states is a few million; beyond this a digit has slipped.
_MAX_COUNT = 1_000_000_000_000
# In USD a token, or a call. 1,000 is the largest power of ten whose rate (nano-USD per million tokens) fits an int64;
# it also catches prices that were meant for a million tokens.
_MAX_COST = 1_000

# What some providers need to know beside an address and a key, by LiteLLM's names for it.
PROVIDER_OPTIONS: Mapping[str, str] = {
    "api_version": "The version of the provider's API, where its address or its headers need one.",
    "organization": "The organization that is charged.",
    "account_id": "The account at the provider, where its address has it.",
    "aws_region_name": "The AWS region.",
    "aws_bedrock_runtime_endpoint": "Another address of Bedrock's runtime.",
    "model_id": "What Bedrock is asked for in the model's place: an inference profile, a model of one's own.",
    "aws_access_key_id": "An AWS key, with `aws_secret_access_key`.",
    "aws_secret_access_key": "Its secret.",
    "aws_session_token": "Its token, when it is a temporary one.",
    "aws_profile_name": "A profile of the AWS configuration files.",
    "aws_role_name": "A role to assume, by its ARN.",
    "aws_session_name": "What the session of that role is called.",
    "aws_external_id": "The external id that the role demands.",
    "aws_web_identity_token": "A web identity token, or the file that holds it, to assume the role with.",
    "aws_sts_endpoint": "Another address of AWS's token service.",
    "vertex_project": "The Google Cloud project.",
    "vertex_location": "The Google Cloud region, or `global`.",
    "vertex_credentials": "A service account's key: the JSON itself, or its file.",
    "azure_ad_token": "An Entra token.",
    "tenant_id": "The Entra tenant, to fetch tokens with `client_id` and `client_secret`.",
    "client_id": "The Entra application.",
    "client_secret": "Its secret.",
    "azure_scope": "What the Entra token is for.",
    "project_id": "The project at watsonx.ai.",
    "space_id": "The deployment space at watsonx.ai, where there is no project.",
    "token": "A token of IBM Cloud's, as it is.",
    "zen_api_key": "A key of IBM's own software: the user's name and key, in base64.",
}  # fmt: skip

_CREDENTIALS = frozenset(
    (
        "api_key",
        "extra_headers",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_web_identity_token",
        "azure_ad_token",
        "client_secret",
        "token",
        "vertex_credentials",
        "zen_api_key",
    )
)

# Members of a Chat Completions body that a deployment may set for callers who do not. `n` is not among them: it
# multiplies what a call may cost, and a call's hold is sized before a deployment is chosen.
BODY_MEMBERS = (
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
)

# The same of an embeddings body.
READING_MEMBERS = ("dimensions", "encoding_format", "input_type")


@dataclass(frozen=True, slots=True)
class LitellmParams:
    """How a deployment is called. `options`: those of PROVIDER_OPTIONS that are given. `defaults`: members of the body
    for callers that do not give them, as plain JSON values; `timeout` and `stream_timeout` are in seconds."""

    model: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    custom_llm_provider: str | None = None
    mock_response: str | None = None
    timeout: float | None = None
    stream_timeout: float | None = None
    # None: as `litellm_settings` say.
    drop_params: bool | None = None
    additional_drop_params: tuple[str, ...] = ()
    allowed_openai_params: tuple[str, ...] = ()
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    # Both may carry credentials.
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, object] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    defaults: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a deployment. `id` is always set: the file's, or a hash of `litellm_params` as written."""

    id: str
    base_model: str | None = None
    access_groups: tuple[str, ...] = ()
    mode: str | None = None
    max_tokens: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One deployment. `costs`: those of `litellm_params`, else those of `model_info`. `place`: for errors."""

    model_name: str
    params: LitellmParams
    info: ModelInfo
    costs: Costs
    place: Place


# What an entry is written as: itself, its `litellm_params` and its `model_info`.
EntrySections = tuple[Section, Section, Section]


def read_entries(sections: Iterable[Section]) -> tuple[tuple[ModelEntry, ...], list[EntrySections]]:
    """The entries, and what they were read from. ConfigError for one that cannot be used."""
    entries: list[ModelEntry] = []
    written: list[EntrySections] = []
    first_with: dict[str, Place] = {}
    twins: Counter[str] = Counter()
    for section in sections:
        params = section.section("litellm_params")
        info = section.section("model_info")
        model_name = section.required_text("model_name")
        digest = _digest(model_name, params)
        twins[digest] += 1
        deployment_id = info.text("id") or (digest if twins[digest] == 1 else _sha256(f"{digest} {twins[digest]}"))
        if deployment_id in first_with:
            first = first_with[deployment_id]
            where = first.key if first.file == section.place.file else f"{first.key} in {first.file}"
            raise ConfigError(info.place_of("id"), f"is already that of {where}")
        first_with[deployment_id] = section.place
        entries.append(
            ModelEntry(
                model_name=model_name,
                params=_params(params),
                info=_info(info, deployment_id),
                costs=_costs(params, info),
                place=section.place,
            )
        )
        written.append((section, params, info))
    return tuple(entries), written


def seconds(section: Section, name: str) -> float | None:
    """A member that is a timeout."""
    value = section.number(name, lowest=_MIN_TIMEOUT_SECONDS, highest=_MAX_TIMEOUT_SECONDS)
    return None if value is None else float(value)


def _params(section: Section) -> LitellmParams:
    weight = section.number("weight", lowest=0, highest=_MAX_COUNT)
    api_base = section.text("api_base")
    base_url = section.text("base_url")
    return LitellmParams(
        model=section.required_text("model"),
        api_base=api_base or base_url,
        api_key=section.secret("api_key"),
        custom_llm_provider=section.text("custom_llm_provider"),
        mock_response=section.text("mock_response"),
        timeout=seconds(section, "timeout"),
        stream_timeout=seconds(section, "stream_timeout"),
        drop_params=section.boolean("drop_params"),
        additional_drop_params=section.names("additional_drop_params") or (),
        allowed_openai_params=section.names("allowed_openai_params") or (),
        weight=None if weight is None else float(weight),
        rpm=_count(section, "rpm"),
        tpm=_count(section, "tpm"),
        extra_headers=section.texts("extra_headers"),
        extra_body=section.json_mapping("extra_body"),
        options={name: text for name in PROVIDER_OPTIONS if (text := section.secret(name)) is not None},
        defaults={
            name: value for name in (*BODY_MEMBERS, *READING_MEMBERS) if (value := section.json(name)) is not None
        },
    )


def _info(section: Section, deployment_id: str) -> ModelInfo:
    return ModelInfo(
        id=deployment_id,
        base_model=section.text("base_model"),
        access_groups=section.names("access_groups") or (),
        mode=section.text("mode"),
        max_tokens=_count(section, "max_tokens"),
        max_input_tokens=_count(section, "max_input_tokens"),
        max_output_tokens=_count(section, "max_output_tokens"),
    )


def _costs(params: Section, info: Section) -> Costs:
    """Each cost by itself: from `litellm_params`, else from `model_info`."""
    costs: dict[str, Decimal] = {}
    for section in (info, params):
        # Beside those that have a name of their own, the many that are made of it: `..._above_200k_tokens_flex`.
        for name in (*CALL_COSTS, *TOKEN_COSTS, *section.raw):
            if price_of(name) is None:
                continue
            cost = section.number(name, lowest=0, highest=_MAX_COST)
            if cost is not None:
                costs[name] = cost
    return costs


def _count(section: Section, name: str) -> int | None:
    return section.integer(name, lowest=0, highest=_MAX_COUNT)


def _digest(model_name: str, params: Section) -> str:
    """Names a deployment by what is written of it, but for its credentials: so the id, which callers see, says nothing
    of them, and outlives their rotation."""
    written = {name: value for name, value in params.raw.items() if name not in _CREDENTIALS}
    return _sha256(json.dumps([model_name, written], sort_keys=True, separators=(",", ":"), default=str))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
