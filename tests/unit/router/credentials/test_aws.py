"""Which of AWS's keys a request is signed with, without asking AWS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from router.credentials.aws import AwsSigner
from services.errors import GatewayError, Reason
from tests.unit.router.credentials.conftest import deployment, request

REGION = {"aws_region_name": "eu-west-1"}
OWN = {"aws_access_key_id": "OWN", "aws_secret_access_key": "own-secret"}
ENVIRON = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-token"}


def signer(environ: Mapping[str, str] | None = None) -> AwsSigner:
    return AwsSigner(environ or {}, clock=lambda: 0.0, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


async def shown(signer: AwsSigner, api_key: str = "", headers: Any = None, **options: str) -> Mapping[str, str]:
    signed = await signer.sign(request(**headers or {}), deployment("aws", api_key, **options))
    return signed.headers


async def test_keys_of_the_deployment_sign() -> None:
    headers = await shown(signer(ENVIRON), **OWN, **REGION)
    assert headers["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=OWN/20260102/eu-west-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, Signature="
    )
    # The environment's token belongs to the environment's key.
    assert "x-amz-security-token" not in headers


async def test_temporary_keys_show_their_token() -> None:
    headers = await shown(signer(), **OWN, **REGION, aws_session_token="own-token")
    assert headers["x-amz-security-token"] == "own-token"
    assert "x-amz-security-token" in headers["authorization"]


@pytest.mark.parametrize("half", [{}, {"aws_access_key_id": "OWN"}, {"aws_session_token": "own-token"}])
async def test_without_whole_keys_of_its_own_a_deployment_uses_those_of_the_environment(half: dict[str, str]) -> None:
    headers = await shown(signer(ENVIRON), **half, **REGION)
    assert "Credential=ENV/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "env-token"


async def test_an_api_key_is_a_bearer_and_nothing_is_signed() -> None:
    headers = await shown(signer(ENVIRON), "bedrock-api-key", **OWN)
    assert headers["authorization"] == "Bearer bedrock-api-key"
    assert "x-amz-date" not in headers


async def test_a_header_of_ones_own_wins() -> None:
    assert (await shown(signer(ENVIRON), "k", {"authorization": "mine"}, **OWN))["authorization"] == "mine"


async def test_the_providers_row_names_the_service() -> None:
    headers = await shown(signer(), **OWN, **REGION, aws_service="sagemaker")
    assert "/eu-west-1/sagemaker/aws4_request" in headers["authorization"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (OWN, "aws_region_name is missing"),
        ({**OWN, **REGION, "aws_secret_access_key": "\ud800"}, "cannot be signed"),
    ],
)
async def test_what_cannot_be_signed_is_a_typed_error(options: dict[str, str], said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await shown(signer(), **options)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert said in caught.value.message


async def test_a_refusal_of_keys_that_are_not_kept_changes_nothing() -> None:
    aws = signer()
    aws.refused(deployment("aws", **OWN, **REGION))
    assert "Credential=OWN/" in (await shown(aws, **OWN, **REGION))["authorization"]
