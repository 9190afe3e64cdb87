"""Addresses of Google's two hosts of models: AI Studio, and Vertex AI with its regions and publishers.

A base may be a bare host, end with a version, have a path before either (a proxy), or be the address of the model,
with or without what is to be done with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from router.catalog import Deployment
from services.decoding import NOT_DECODED

_VERB = re.compile(r":(?:stream)?(?:GenerateContent|RawPredict)(?:\?.*)?$", re.IGNORECASE)
_MODEL = re.compile(r"/(?:models|tunedModels|endpoints)/[^/]+$")
_VERSION = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?$")

# Where a location is no region, its host has another name.
_HOSTS: Mapping[str, str] = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}


class _ServiceAccount(msgspec.Struct):
    project_id: str = ""


_service_account_decoder = msgspec.json.Decoder(_ServiceAccount)


def studio_url(deployment: Deployment, verb: str) -> str:
    """Where AI Studio does `verb` with the deployment's model."""
    base, is_model = _without_verb(deployment.api_base)
    if is_model:
        return f"{base}:{verb}"
    base = base.removesuffix("/models")
    if not _VERSION.search(base):
        base = f"{base}/v1beta"
    model = deployment.provider_model.removeprefix("gemini/")
    if not model.startswith(("models/", "tunedModels/")):
        model = f"models/{model}"
    return f"{base}/{quote(model, safe='/@:')}:{verb}"


def vertex_url(deployment: Deployment, verb: str, publisher: str = "google") -> str:
    """Where Vertex AI does `verb` with the deployment's model; one without a publisher is an endpoint's number."""
    base, is_model = _without_verb(_at_location(deployment))
    if is_model:
        return f"{base}:{verb}"
    model = quote(deployment.provider_model.removeprefix(f"{publisher}/").removeprefix("gemini/"), safe="/@:")
    if not base.endswith(f"/publishers/{publisher}"):
        base = _in_project(base, deployment)
        base = f"{base}/endpoints/{model}" if model.isdigit() else f"{base}/publishers/{publisher}"
    return f"{base}:{verb}" if model.isdigit() else f"{base}/models/{model}:{verb}"


def _without_verb(api_base: str) -> tuple[str, bool]:
    """The address without what is to be done there, and whether it is a model's."""
    base = api_base.rstrip("/")
    bare = _VERB.sub("", base)
    return bare, bare != base or _MODEL.search(bare) is not None


def _at_location(deployment: Deployment) -> str:
    location = deployment.options.get("vertex_location", "")
    # The express mode, a key without a project, has no regions.
    is_express = bool(deployment.api_key) and not _project_of(deployment.options)
    host = _HOSTS.get("global" if is_express else location)
    if host is None:
        return deployment.api_base
    return deployment.api_base.replace(f"//{location}-aiplatform.googleapis.com", f"//{host}", 1)


def _in_project(base: str, deployment: Deployment) -> str:
    """Without a project, which a proxy may know and a key of Vertex's express mode implies, the path names none."""
    if "/locations/" in base:
        return base
    if not _VERSION.search(base):
        base = f"{base}/v1"
    project, location = _project_of(deployment.options), deployment.options.get("vertex_location")
    return f"{base}/projects/{quote(project)}/locations/{quote(location)}" if project and location else base


def _project_of(options: Mapping[str, str]) -> str:
    """As configured, else the service account's own, where its key is given as JSON."""
    project = options.get("vertex_project")
    if project:
        return project
    try:
        return _service_account_decoder.decode(options.get("vertex_credentials", "")).project_id
    except NOT_DECODED:
        return ""
