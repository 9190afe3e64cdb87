"""Which of Azure's credentials is shown, and how tokens of Entra are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from router.credentials.azure import AzureSigner
from services.errors import GatewayError, Reason
from tests.unit.router.credentials.conftest import RecordingService, deployment, request

APPLICATION = {"tenant_id": "tenant", "client_id": "client", "client_secret": "the-secret"}


def signer(service: RecordingService, environ: Mapping[str, str] | None = None, now: float = 0.0) -> AzureSigner:
    return AzureSigner(service, environ or {}, clock=lambda: now)  # type: ignore[arg-type]


async def shown(signer: AzureSigner, api_key: str = "", headers: Any = None, **options: str) -> Mapping[str, str]:
    """The credential that a request then carries."""
    signed = await signer.sign(request(**headers or {}), deployment("azure", api_key, **options))
    return {name: value for name, value in signed.headers.items() if name in ("api-key", "authorization")}


async def test_the_first_that_is_there_is_shown(token_service: RecordingService) -> None:
    azure = signer(token_service)
    everything = {**APPLICATION, "azure_ad_token": "given"}
    assert await shown(azure, "k", {"authorization": "mine"}, **everything) == {"authorization": "mine"}
    assert await shown(azure, "k", {"api_key": "mine"}, **everything) == {"api-key": "mine"}
    assert await shown(azure, "k", **everything) == {"api-key": "k"}
    assert await shown(azure, **everything) == {"authorization": "Bearer given"}
    assert token_service.posts == []
    assert await shown(azure, **APPLICATION) == {"authorization": "Bearer token-1"}
    assert len(token_service.posts) == 1


async def test_entra_is_asked_for_a_token_of_cognitive_services(token_service: RecordingService) -> None:
    await shown(signer(token_service), **{**APPLICATION, "tenant_id": "a/b"})
    assert token_service.posts == [
        (
            "https://login.microsoftonline.com/a%2Fb/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": "client",
                "client_secret": "the-secret",
                "scope": "https://cognitiveservices.azure.com/.default",
            },
        )
    ]


@pytest.mark.parametrize("host", ["https://login.microsoftonline.us/", "login.microsoftonline.us"])
async def test_another_cloud_has_another_authority_and_scope(token_service: RecordingService, host: str) -> None:
    environ = {"AZURE_AUTHORITY_HOST": host}
    await shown(
        signer(token_service, environ), **APPLICATION, azure_scope="https://cognitiveservices.azure.us/.default"
    )
    url, form = token_service.posts[0]
    assert url == "https://login.microsoftonline.us/tenant/oauth2/v2.0/token"
    assert form["scope"] == "https://cognitiveservices.azure.us/.default"


async def test_what_the_deployment_does_not_say_the_environment_may(token_service: RecordingService) -> None:
    environ = {"AZURE_TENANT_ID": "env-tenant", "AZURE_CLIENT_ID": "env", "AZURE_CLIENT_SECRET": "env-secret"}
    azure = signer(token_service, environ)
    await shown(azure, client_id="own", client_secret="own-secret")
    await shown(azure)
    assert [(form["client_id"], form["client_secret"]) for _, form in token_service.posts] == [
        ("own", "own-secret"),
        ("env", "env-secret"),
    ]
    assert all("/env-tenant/" in url for url, _ in token_service.posts)
    assert await shown(signer(token_service, {"AZURE_AD_TOKEN": "t"})) == {"authorization": "Bearer t"}


async def test_a_pods_file_stands_in_for_the_secret_and_is_read_each_time(
    token_service: RecordingService, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    environ = {"AZURE_FEDERATED_TOKEN_FILE": str(file)}
    clock = [0.0]
    azure = AzureSigner(token_service, environ, clock=lambda: clock[0])  # type: ignore[arg-type]
    await shown(azure, tenant_id="tenant", client_id="client")
    file.write_text("second")
    clock[0] = 3600.0
    await shown(azure, tenant_id="tenant", client_id="client")
    forms = [form for _, form in token_service.posts]
    assert [form["client_assertion"] for form in forms] == ["first", "second"]
    assert {form["client_assertion_type"] for form in forms} == {
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    }
    assert all("client_secret" not in form for form in forms)


async def test_deployments_of_one_application_share_its_token_and_others_do_not(
    token_service: RecordingService,
) -> None:
    azure = signer(token_service)
    assert await shown(azure, **APPLICATION) == await shown(azure, **APPLICATION)
    other = await shown(azure, **{**APPLICATION, "client_secret": "rotated"})
    assert other == {"authorization": "Bearer token-2"}


async def test_a_refused_token_is_fetched_anew_later(token_service: RecordingService) -> None:
    clock = [0.0]
    azure = AzureSigner(token_service, {}, clock=lambda: clock[0])  # type: ignore[arg-type]
    await shown(azure, **APPLICATION)
    azure.refused(deployment("azure", **APPLICATION))
    assert await shown(azure, **APPLICATION) == {"authorization": "Bearer token-1"}
    clock[0] = 60.0
    azure.refused(deployment("azure", **APPLICATION))
    azure.refused(deployment("azure", "k"))
    assert await shown(azure, **APPLICATION) == {"authorization": "Bearer token-2"}


@pytest.mark.parametrize("missing", ["tenant_id", "client_id", "client_secret"])
async def test_without_a_credential_the_error_says_what_is_missing(
    token_service: RecordingService, missing: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await shown(signer(token_service), **{**APPLICATION, missing: ""})
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert "client_secret" in caught.value.message
    assert "the-secret" not in repr(caught.value)


async def test_a_file_that_cannot_be_read_is_a_typed_error(token_service: RecordingService, tmp_path: Path) -> None:
    environ = {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(GatewayError) as caught:
        await shown(signer(token_service, environ), tenant_id="tenant", client_id="client")
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert str(tmp_path) not in caught.value.message
