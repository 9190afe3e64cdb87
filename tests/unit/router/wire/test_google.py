"""Addresses of models at Google, by the forms that an api_base may have."""

from __future__ import annotations

import dataclasses

import pytest

from router.catalog import Deployment
from router.wire.google import studio_url, vertex_url

STUDIO = "https://generativelanguage.googleapis.com"
REGION = "https://us-central1-aiplatform.googleapis.com"
MODEL = "publishers/google/models/m:go"
PLACE = {"vertex_project": "p", "vertex_location": "us-central1"}


def at(api_base: str, model: str = "m", **options: str) -> Deployment:
    return Deployment("d1", "g", "gemini", model, api_base, options=options)


@pytest.mark.parametrize(
    ("api_base", "model", "url"),
    [
        (STUDIO, "m", f"{STUDIO}/v1beta/models/m:go"),
        (STUDIO, "models/m", f"{STUDIO}/v1beta/models/m:go"),
        (STUDIO, "gemini/m", f"{STUDIO}/v1beta/models/m:go"),
        (STUDIO, "tunedModels/t", f"{STUDIO}/v1beta/tunedModels/t:go"),
        (STUDIO, "what?is#this", f"{STUDIO}/v1beta/models/what%3Fis%23this:go"),
        (f"{STUDIO}/v1beta/", "m", f"{STUDIO}/v1beta/models/m:go"),
        (f"{STUDIO}/v1", "m", f"{STUDIO}/v1/models/m:go"),
        (f"{STUDIO}/v1alpha", "m", f"{STUDIO}/v1alpha/models/m:go"),
        (f"{STUDIO}/v1beta/models", "m", f"{STUDIO}/v1beta/models/m:go"),
        ("http://127.0.0.1:9100", "m", "http://127.0.0.1:9100/v1beta/models/m:go"),
        ("http://proxy:80/google", "m", "http://proxy:80/google/v1beta/models/m:go"),
        ("http://proxy/v1/acc/google/v1beta", "m", "http://proxy/v1/acc/google/v1beta/models/m:go"),
        (f"{STUDIO}/v1beta/models/x", "m", f"{STUDIO}/v1beta/models/x:go"),
        (f"{STUDIO}/v1beta/models/x:generateContent", "m", f"{STUDIO}/v1beta/models/x:go"),
        (f"{STUDIO}/v1beta/models/x:streamGenerateContent?alt=sse", "m", f"{STUDIO}/v1beta/models/x:go"),
        ("http://proxy/here:generateContent", "m", "http://proxy/here:go"),
    ],
)
def test_where_ai_studio_is_asked(api_base: str, model: str, url: str) -> None:
    assert studio_url(at(api_base, model), "go") == url


@pytest.mark.parametrize(
    ("api_base", "options", "url"),
    [
        (REGION, PLACE, f"{REGION}/v1/projects/p/locations/us-central1/{MODEL}"),
        (f"{REGION}/v1beta1", PLACE, f"{REGION}/v1beta1/projects/p/locations/us-central1/{MODEL}"),
        (
            "https://global-aiplatform.googleapis.com",
            {**PLACE, "vertex_location": "global"},
            f"https://aiplatform.googleapis.com/v1/projects/p/locations/global/{MODEL}",
        ),
        (
            "https://eu-aiplatform.googleapis.com/v1beta1",
            {**PLACE, "vertex_location": "eu"},
            f"https://aiplatform.eu.rep.googleapis.com/v1beta1/projects/p/locations/eu/{MODEL}",
        ),
        # A proxy, or a key of the express mode: nobody needs to name a project.
        ("http://proxy/vertex", {"vertex_location": "us-central1"}, f"http://proxy/vertex/v1/{MODEL}"),
        ("https://aiplatform.googleapis.com", {}, f"https://aiplatform.googleapis.com/v1/{MODEL}"),
        ("http://proxy", PLACE, f"http://proxy/v1/projects/p/locations/us-central1/{MODEL}"),
        ("http://proxy/v1/projects/q/locations/l", PLACE, f"http://proxy/v1/projects/q/locations/l/{MODEL}"),
        ("http://proxy/x/publishers/google", PLACE, "http://proxy/x/publishers/google/models/m:go"),
        ("http://proxy/x/models/gemini-pro", PLACE, "http://proxy/x/models/gemini-pro:go"),
        ("http://proxy/v1/projects/q/locations/l/endpoints/7", PLACE, "http://proxy/v1/projects/q/locations/l/endpoints/7:go"),
        ("http://proxy/x/models/y:rawPredict", PLACE, "http://proxy/x/models/y:go"),
        ("http://proxy/x/models/y:streamGenerateContent", PLACE, "http://proxy/x/models/y:go"),
        (
            REGION,
            {"vertex_location": "us-central1", "vertex_credentials": '{"project_id": "own", "private_key": "x"}'},
            f"{REGION}/v1/projects/own/locations/us-central1/{MODEL}",
        ),
        (REGION, {"vertex_location": "us-central1", "vertex_credentials": "/a/file.json"}, f"{REGION}/v1/{MODEL}"),
    ],
)  # fmt: skip
def test_where_vertex_is_asked(api_base: str, options: dict[str, str], url: str) -> None:
    assert vertex_url(at(api_base, **options), "go") == url


def test_a_model_of_ones_own_on_vertex_is_an_endpoint() -> None:
    url = f"{REGION}/v1/projects/p/locations/us-central1/endpoints/1234567890:go"
    assert vertex_url(at(REGION, "1234567890", **PLACE), "go") == url
    assert vertex_url(at(REGION, "gemini/1234567890", **PLACE), "go") == url


def test_another_publishers_model_on_vertex() -> None:
    url = vertex_url(at(REGION, "claude-example@20300101", **PLACE), "rawPredict", "anthropic")
    assert url.endswith("/locations/us-central1/publishers/anthropic/models/claude-example@20300101:rawPredict")


def test_a_key_without_a_project_is_of_the_express_mode_which_has_no_regions() -> None:
    express = dataclasses.replace(at(REGION, vertex_location="us-central1"), api_key="key")
    assert vertex_url(express, "go") == f"https://aiplatform.googleapis.com/v1/{MODEL}"
    with_project = dataclasses.replace(express, options=PLACE)
    assert vertex_url(with_project, "go") == f"{REGION}/v1/projects/p/locations/us-central1/{MODEL}"
