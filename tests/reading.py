"""Deployments as embeddings and rerank see them, and what recordings of these say."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from gateway.v1 import common_pb2

from router.catalog import Deployment, build
from router.providers.prices import Price
from router.wire import WHOLE_WIRES
from router.wire.whole import WholeWire
from services.config import parse
from tests.recordings import Exchange

EMBEDDINGS = common_pb2.OPERATION_EMBEDDINGS
RERANK = common_pb2.OPERATION_RERANK


class NoPrices:
    """`router.catalog.Prices` that knows none."""

    def find(self, provider: str, model: str) -> Price | None:
        return None

    def provider_of(self, model: str) -> str | None:
        return None


def whole_deployment(params: Mapping[str, Any], name: str = "d") -> Deployment:
    """The deployment with these `litellm_params`."""
    entry = {"model_name": "g", "litellm_params": {"api_key": "sk-key", **params}, "model_info": {"id": name}}
    text = json.dumps({"model_list": [entry]})
    (deployment,) = build(parse(text, name="f.yaml", environ={}), {}, NoPrices).groups["g"]
    return deployment


def deployment_at(operation: common_pb2.Operation, params: Mapping[str, Any]) -> Deployment:
    """The same, as an operation sees it."""
    deployment = whole_deployment(params).at(operation)
    assert deployment is not None
    return deployment


def wire_at(operation: common_pb2.Operation, deployment: Deployment) -> WholeWire:
    """How it is asked."""
    return WHOLE_WIRES[operation][deployment.wire]


def asked_of(exchange: Exchange) -> dict[str, Any]:
    """What a caller asks for; where the recording does not say, in OpenAI's words for the recorded body."""
    body = exchange["request"]["body"]
    asked = exchange.get("openai_request")
    if asked is not None:
        return body if "same_as" in asked else asked
    if exchange["endpoint"] == "rerank":
        return {name: body[name] for name in ("query", "documents", "top_n")}
    if "inputs" in body:
        return {"input": body["inputs"], "options": body["options"]}
    if "texts" in body:
        return {"input": body["texts"], "dimensions": body["output_dimension"]}
    params = body["singleEmbeddingParams"]
    return {"input": params["text"]["value"], "dimensions": params["embeddingDimension"]}


def vectors_in(answer: dict[str, Any]) -> list[list[float]]:
    """As callers read them."""
    found = []
    for index, row in enumerate(answer["data"]):
        assert row["index"] == index
        vector = row["embedding"]
        if isinstance(vector, str):
            data = base64.b64decode(vector)
            vector = list(struct.unpack(f"<{len(data) // 4}f", data))
        found.append(vector)
    return found
