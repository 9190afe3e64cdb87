"""The providers that can be called, as data, and the names of those that cannot be yet."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

import msgspec

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something else that a provider needs to know: a region, an account, a project.

    It is a member of `litellm_params` (`services.model_list.PROVIDER_OPTIONS`), or comes from the environment only.
    variables: environment variables that stand in for it, the first that is set; default: when nobody says.
    """

    variables: tuple[str, ...] = ()
    default: str = ""


# What a signer (`router.credentials`) reads of `litellm_params`: every provider with that `auth` has these options,
# whatever its row says. Their environment variables are the signer's own to read: some count only together.
SIGNER_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aws": (
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "aws_profile_name",
            "aws_role_name",
            "aws_session_name",
            "aws_external_id",
            "aws_web_identity_token",
            "aws_sts_endpoint",
        ),
        "google": ("vertex_credentials",),
        "azure": ("azure_ad_token", "tenant_id", "client_id", "client_secret", "azure_scope"),
    }
)


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host, and how it is reached: a row of providers.toml, under its name.

    wire: the language it speaks, of `router.wire.WIRES`; wires: that of models whose names begin like this. api_base:
    where it is, with options in braces (`https://{region}.example.com`); empty: every deployment must say.
    api_base_variables, api_key_variables: environment variables that stand in for `api_base` and `api_key`; of several
    the first that is set. auth: where the key goes: `bearer`, `header:NAME` or `query:NAME`; or the name of a signer
    (`router.credentials`). options: by their names in `litellm_params`. priced_as: its name in the bundled price table;
    empty: a server of one's own, which has no list price.
    """

    name: str
    wire: str = "openai"
    wires: Mapping[str, str] = {}
    api_base: str = ""
    api_base_variables: tuple[str, ...] = ()
    api_key_variables: tuple[str, ...] = ()
    auth: str = "bearer"
    options: Mapping[str, Option] = {}
    priced_as: str = ""

    def wire_of(self, model: str) -> str:
        """The language in which it is asked for a model: of the beginnings that fit, the longest decides."""
        fitting = [beginning for beginning in self.wires if model.startswith(beginning)]
        return self.wires[max(fitting, key=len)] if fitting else self.wire


def load_providers() -> Mapping[str, Provider]:
    """The rows that the project ships. msgspec.ValidationError for a row that cannot be meant."""
    rows = tomllib.loads((files(__package__) / "providers.toml").read_text())
    return MappingProxyType({name: msgspec.convert({"name": name, **row}, Provider) for name, row in rows.items()})


PROVIDERS: Mapping[str, Provider] = load_providers()


def filled_in(api_base: str, options: Mapping[str, str]) -> str:
    """An address with its options in place. KeyError names one that is not given."""
    return _PLACEHOLDER.sub(lambda found: options[found[1]], api_base)


# Names that a file written for LiteLLM may use. A deployment of theirs is left out with a warning, so that the rest of
# the file works; any other name is a mistake.
NOT_SERVED_YET = frozenset(
    """
    a2a a2a_agent abliteration ai21 ai21_chat aihubmix aiml aiohttp_openai amazon_nova anthropic_text
    apertis assemblyai auto_router aws_polly aws_textract azure azure_ai azure_speech azure_text baseten bedrock
    bedrock_mantle black_forest_labs bytez cerebras charity_engine chatgpt chutes clarifai cloudflare codestral
    cognition cohere cohere_chat cometapi compactifai cortecs crusoe cursor custom darkbloom dashscope databricks
    datarobot deepgram deepinfra deepseek docker_model_runner dotprompt edenai elevenlabs empiriolabs empower
    fal_ai featherless_ai fireworks_ai friendliai galadriel gdc gemini gigachat github github_copilot gmi
    gradient_ai groq helicone heroku huggingface humanloop hyperbolic inception infinity jina_ai lambda_ai
    langflow langfuse langgraph lemonade libertai litellm_agent litellm_proxy llamafile llamagate lm_studio manus
    maritalk meta meta_llama milvus minimax mistral modelscope mongodb moonshot morph nadir nano-gpt nebius
    neosantara nlp_cloud novita nscale nvidia_nim nvidia_riva oci ollama ollama_chat oobabooga openrouter
    ovhcloud parasail perplexity petals pg_vector pinstripes poe predibase prism publicai qwen_ai_platform
    qwencloud ragflow recraft reducto reka replicate runwayml s3_vectors sagemaker sagemaker_chat sagemaker_nova
    sail sambanova sap sarvam scaleway scx-ai snowflake soniox stability strands_decider synthetic tencent
    tensormesh text-completion-codestral text-completion-inception text-completion-openai together_ai topaz
    transcribe triton typesafe v0 valkey veniceai vercel_ai_gateway vertex_ai vertex_ai_beta vllm volcengine
    voyage wandb watsonx watsonx_text xai xiaomi_mimo xinference zai
    """.split()  # noqa: SIM905  a column of words reads and merges better than 170 quotes
)


def near_names(name: str) -> list[str]:
    """At most three known names that look like this one."""
    return difflib.get_close_matches(name.lower(), [*PROVIDERS, *sorted(NOT_SERVED_YET)], n=3)
