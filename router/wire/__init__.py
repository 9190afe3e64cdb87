"""The wires: the JSON languages that providers speak. Pure: bytes in, values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.v1 import common_pb2

from router.wire.anthropic import AnthropicWire
from router.wire.anthropic_hosted import AnthropicHostedWire
from router.wire.anthropic_vertex import AnthropicVertexWire
from router.wire.base import Wire
from router.wire.bedrock import ConverseWire
from router.wire.bedrock.invoke import InvokeWire
from router.wire.cohere import CohereWire
from router.wire.cohere_v1 import CohereV1Wire
from router.wire.embeddings.bedrock import BedrockEmbeddings
from router.wire.embeddings.cohere import CohereEmbeddings
from router.wire.embeddings.google import GeminiEmbeddings, VertexContentEmbeddings, VertexEmbeddings
from router.wire.embeddings.huggingface import HuggingFaceEmbeddings
from router.wire.embeddings.ollama import OllamaEmbeddings
from router.wire.embeddings.openai import OpenAIEmbeddings
from router.wire.gemini import VERTEX, GeminiWire
from router.wire.ollama import OllamaWire
from router.wire.openai import OpenAIWire
from router.wire.replicate import ReplicateWire
from router.wire.rerank import COHERE, JINA, TEI, VOYAGE, BedrockRerank, RerankWire
from router.wire.sagemaker import SageMakerChatWire, SageMakerWire
from router.wire.tgi import TgiWire
from router.wire.watsonx import WatsonxWire
from router.wire.whole import WholeWire

# Seconds since 1970.
Clock = Callable[[], float]

# How to make each wire, by the name that providers and deployments give it.
WIRES: Mapping[str, Callable[[Clock], Wire]] = MappingProxyType(
    {
        "openai": lambda clock: OpenAIWire(),
        "anthropic": AnthropicWire,
        "anthropic-hosted": AnthropicHostedWire,
        "bedrock": ConverseWire,
        "bedrock_invoke": InvokeWire,
        "cohere": CohereWire,
        "cohere-v1": CohereV1Wire,
        "ollama": OllamaWire,
        "anthropic-vertex": AnthropicVertexWire,
        "sagemaker": SageMakerWire,
        "sagemaker-chat": lambda clock: SageMakerChatWire(),
        "tgi": TgiWire,
        "watsonx": lambda clock: WatsonxWire(),
        "replicate": ReplicateWire,
        "gemini": GeminiWire,
        "gemini-vertex": lambda clock: GeminiWire(clock, VERTEX),
    }
)

# The wires of operations without streams, by operation, then by the names that providers give them.
WHOLE_WIRES: Mapping[common_pb2.Operation, Mapping[str, WholeWire]] = MappingProxyType(
    {
        common_pb2.OPERATION_EMBEDDINGS: MappingProxyType(
            {
                "openai": OpenAIEmbeddings(),
                "bedrock": BedrockEmbeddings(),
                "cohere": CohereEmbeddings(),
                "gemini": GeminiEmbeddings(),
                "huggingface": HuggingFaceEmbeddings(),
                "ollama": OllamaEmbeddings(),
                "vertex": VertexEmbeddings(),
                "vertex-content": VertexContentEmbeddings(),
            }
        ),
        common_pb2.OPERATION_RERANK: MappingProxyType(
            {
                "bedrock": BedrockRerank(),
                "cohere": RerankWire(COHERE),
                "jina": RerankWire(JINA),
                "tei": RerankWire(TEI),
                "voyage": RerankWire(VOYAGE),
            }
        ),
    }
)
