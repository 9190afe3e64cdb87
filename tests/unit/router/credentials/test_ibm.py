"""Which of IBM's credentials is shown, and how IAM is asked for tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.credentials.headers import masked
from router.credentials.ibm import IbmSigner
from services.errors import GatewayError, Reason
from tests.unit.router.credentials.conftest import RecordingService, deployment, request


def signer(service: RecordingService, environ: Mapping[str, str] | None = None, now: float = 0.0) -> IbmSigner:
    return IbmSigner(service, environ or {}, clock=lambda: now)  # type: ignore[arg-type]


async def shown(signer: IbmSigner, api_key: str = "", headers: Any = None, **options: str) -> str:
    signed = await signer.sign(request(**headers or {}), deployment("ibm", api_key, **options))
    return signed.headers["authorization"]


async def test_the_first_that_is_there_is_shown(token_service: RecordingService) -> None:
    ibm = signer(token_service)
    everything = {"token": "given", "zen_api_key": "zen"}
    assert await shown(ibm, "k", {"authorization": "mine"}, **everything) == "mine"
    assert await shown(ibm, "k", **everything) == "Bearer given"
    assert await shown(ibm, "k", zen_api_key="zen") == "ZenApiKey zen"
    assert token_service.posts == []
    assert await shown(ibm, "k") == "Bearer token-1"
    # Kept for the next call with the same key.
    assert await shown(ibm, "k") == "Bearer token-1"
    assert await shown(ibm, "other") == "Bearer token-2"


async def test_iam_is_asked_for_the_token_of_a_key(token_service: RecordingService) -> None:
    form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "k"}
    await shown(signer(token_service), "k")
    await shown(signer(token_service, {"WATSONX_IAM_URL": "https://iam.example/token"}), "k")
    urls = ["https://iam.cloud.ibm.com/identity/token", "https://iam.example/token"]
    assert token_service.posts == [(url, form) for url in urls]


async def test_what_the_deployment_does_not_say_the_environment_may(token_service: RecordingService) -> None:
    assert await shown(signer(token_service, {"WATSONX_TOKEN": "t"})) == "Bearer t"
    assert await shown(signer(token_service, {"WATSONX_ZENAPIKEY": "z"})) == "ZenApiKey z"


async def test_without_a_credential_nothing_is_sent(token_service: RecordingService) -> None:
    with pytest.raises(GatewayError) as caught:
        await shown(signer(token_service))
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert token_service.posts == []


async def test_a_token_that_was_refused_is_fetched_anew(token_service: RecordingService) -> None:
    now = 0.0
    ibm = IbmSigner(token_service, {}, clock=lambda: now)  # type: ignore[arg-type]
    assert await shown(ibm, "k") == "Bearer token-1"
    now = 100.0
    ibm.refused(deployment("ibm", "k"))
    assert await shown(ibm, "k") == "Bearer token-2"
    await ibm.close()


async def test_a_key_that_is_repeated_is_not_shown(token_service: RecordingService) -> None:
    signed = await signer(token_service).sign(request(), deployment("ibm", zen_api_key="dXNlcjprZXk="))
    assert masked(b"bad key dXNlcjprZXk=", signed) == b"bad key ***"
