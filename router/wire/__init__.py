"""The wires: the JSON languages that providers speak. Pure: bytes in, values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from router.wire.anthropic import AnthropicWire
from router.wire.anthropic_vertex import AnthropicVertexWire
from router.wire.base import Wire
from router.wire.bedrock import ConverseWire
from router.wire.bedrock.invoke import InvokeWire
from router.wire.cohere import CohereWire
from router.wire.cohere_v1 import CohereV1Wire
from router.wire.gemini import VERTEX, GeminiWire
from router.wire.ollama import OllamaWire
from router.wire.openai import OpenAIWire

# Seconds since 1970.
Clock = Callable[[], float]

# How to make each wire, by the name that providers and deployments give it.
WIRES: Mapping[str, Callable[[Clock], Wire]] = MappingProxyType(
    {
        "openai": lambda clock: OpenAIWire(),
        "anthropic": AnthropicWire,
        "bedrock": ConverseWire,
        "bedrock_invoke": InvokeWire,
        "cohere": CohereWire,
        "cohere-v1": CohereV1Wire,
        "ollama": OllamaWire,
        "anthropic-vertex": AnthropicVertexWire,
        "gemini": GeminiWire,
        "gemini-vertex": lambda clock: GeminiWire(clock, VERTEX),
    }
)
