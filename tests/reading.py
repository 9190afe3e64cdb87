"""Deployments as embeddings and rerank see them, made as a configuration makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.v1 import common_pb2

from router.catalog import Deployment, build
from router.providers.prices import Price
from router.wire import WHOLE_WIRES
from router.wire.whole import WholeWire
from services.config import parse

EMBEDDINGS = common_pb2.OPERATION_EMBEDDINGS
RERANK = common_pb2.OPERATION_RERANK


class NoPrices:
    """`router.catalog.Prices` that knows none."""

    def find(self, provider: str, model: str) -> Price | None:
        return None

    def provider_of(self, model: str) -> str | None:
        return None


def whole_deployment(params: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Deployment:
    """The deployment with these `litellm_params`."""
    environ = environ or {}
    text = json.dumps({"model_list": [{"model_name": "g", "litellm_params": {"api_key": "sk-key", **params}}]})
    (deployment,) = build(parse(text, name="f.yaml", environ=environ), environ, NoPrices).groups["g"]
    return deployment


def deployment_at(operation: common_pb2.Operation, params: Mapping[str, Any]) -> Deployment:
    """The same, as an operation sees it."""
    deployment = whole_deployment(params).at(operation)
    assert deployment is not None
    return deployment


def wire_at(operation: common_pb2.Operation, deployment: Deployment) -> WholeWire:
    """How it is asked."""
    return WHOLE_WIRES[operation][deployment.wire]
