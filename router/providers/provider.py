"""The providers that can be called, as data, and the names of those that cannot be yet."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Provider:
    """A host, and how it is reached.

    api_base: where it is; empty: every deployment must say. key_variable, base_variables: environment variables that
    stand in for `api_key` and `api_base`; of several the first that is set. priced_as: its name in the bundled price
    table; empty: a server of one's own, which has no list price. wire: the language it speaks, of `router.wire.WIRES`.
    """

    name: str
    key_variable: str
    base_variables: tuple[str, ...]
    api_base: str = ""
    priced_as: str = ""
    wire: str = "openai"


_OPENAI_BASES = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
_ANTHROPIC_BASES = ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL")

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            Provider("openai", "OPENAI_API_KEY", _OPENAI_BASES, "https://api.openai.com/v1", "openai"),
            Provider("custom_openai", "OPENAI_API_KEY", _OPENAI_BASES),
            Provider("openai_like", "OPENAI_LIKE_API_KEY", ("OPENAI_LIKE_API_BASE",)),
            Provider("hosted_vllm", "HOSTED_VLLM_API_KEY", ("HOSTED_VLLM_API_BASE",)),
            Provider(
                "anthropic",
                "ANTHROPIC_API_KEY",
                _ANTHROPIC_BASES,
                "https://api.anthropic.com",
                "anthropic",
                wire="anthropic",
            ),
        )
    }
)

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
