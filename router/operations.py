"""The operations: which of them a deployment is for, and which its provider offers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.v1 import common_pb2

from router.providers.provider import Offer, Provider

CHAT = common_pb2.OPERATION_CHAT_COMPLETIONS
EMBEDDINGS = common_pb2.OPERATION_EMBEDDINGS
RERANK = common_pb2.OPERATION_RERANK

# They read, and write nothing that is paid for; what ends the address of each.
READING_PATHS: Mapping[common_pb2.Operation, str] = {EMBEDDINGS: "/embeddings", RERANK: "/rerank"}

# What `model_info.mode` says that a deployment is for, as far as that is served.
BY_MODE: Mapping[str, common_pb2.Operation] = {
    "chat": CHAT,
    "completion": CHAT,
    "responses": CHAT,
    "embedding": EMBEDDINGS,
    "rerank": RERANK,
}

# What a model's name says, where there is no mode.
_BY_NAME = ((re.compile("rerank", re.IGNORECASE), RERANK), (re.compile("embed", re.IGNORECASE), EMBEDDINGS))

# Names that the price table's patterns, which are about chats, do not know: whose they are, in the table's words.
_OWNERS = (
    (re.compile(r"text-embedding-(ada|3)-.+"), "openai"),
    (re.compile(r"text-(multilingual-)?embedding-\d{3}"), "google"),
    (re.compile(r"embed-(english|multilingual|v4).*|rerank-(english|multilingual|v\d).*"), "cohere"),
)


def offers(provider: Provider) -> dict[common_pb2.Operation, Offer]:
    """What a provider offers beside chat."""
    found = ((EMBEDDINGS, provider.embeddings), (RERANK, provider.rerank))
    return {operation: offer for operation, offer in found if offer is not None}


def operation_of(mode: str | None, model: str, provider: Provider) -> common_pb2.Operation:
    """What a deployment is for: its mode, of BY_MODE, says so; else its model's name, else what its provider offers."""
    if mode is not None:
        return BY_MODE[mode]
    for pattern, operation in _BY_NAME:
        if operation in offers(provider) and pattern.search(model):
            return operation
    return CHAT if provider.wire else EMBEDDINGS


def is_offered(operation: common_pb2.Operation, provider: Provider) -> bool:
    """Whether a provider can be asked for it."""
    return bool(provider.wire) if operation == CHAT else operation in offers(provider)


def owner_of(model: str) -> str | None:
    """Whose model this is that only reads, by its name alone; None when unknown."""
    return next((owner for pattern, owner in _OWNERS if pattern.fullmatch(model)), None)
