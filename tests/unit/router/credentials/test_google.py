"""Which of Google's credentials is shown, and how tokens are asked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.credentials.google import GoogleSigner
from services.errors import GatewayError, Reason
from tests.unit.router.credentials.conftest import RecordingService, deployment, request

NOW = 1_700_000_000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


ACCOUNT = {
    "type": "service_account",
    "project_id": "project",
    "private_key_id": "key-id",
    "private_key": pem(KEY),
    "client_email": "me@project.iam.example",
    "token_uri": "https://tokens.example/token",
}
USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


def signer(service: RecordingService, environ: Mapping[str, str] | None = None) -> GoogleSigner:
    environ = {"CLOUDSDK_CONFIG": "/nonexistent", **(environ or {})}
    return GoogleSigner(service, environ, clock=lambda: 0.0, now=lambda: NOW + 0.5)  # type: ignore[arg-type]


async def shown(signer: GoogleSigner, api_key: str = "", headers: Any = None, **options: str) -> Mapping[str, str]:
    """What a request then carries of a credential."""
    signed = await signer.sign(request(**headers or {}), deployment("google", api_key, **options))
    return {name: value for name, value in signed.headers.items() if name != "content-type"}


def part_of(assertion: str, number: int) -> bytes:
    text = assertion.split(".")[number]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_signs_for_a_token(token_service: RecordingService) -> None:
    headers = await shown(signer(token_service), vertex_credentials=json.dumps(ACCOUNT))
    assert headers == {"authorization": "Bearer token-1"}
    ((url, form),) = token_service.posts
    assert url == "https://tokens.example/token"
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion = form["assertion"]
    assert json.loads(part_of(assertion, 0)) == {"alg": "RS256", "typ": "JWT", "kid": "key-id"}
    assert json.loads(part_of(assertion, 1)) == {
        "iss": "me@project.iam.example",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://tokens.example/token",
        "iat": NOW,
        "exp": NOW + 3600,
    }
    message, _, _ = assertion.rpartition(".")
    # Raises when the signature is not the key's.
    KEY.public_key().verify(part_of(assertion, 2), message.encode(), padding.PKCS1v15(), SHA256())


async def test_a_users_login_is_refreshed_for_the_project_that_pays(token_service: RecordingService) -> None:
    login = json.dumps({**USER, "quota_project_id": "payer"})
    google = signer(token_service)
    assert await shown(google, vertex_credentials=login) == {
        "authorization": "Bearer token-1",
        "x-goog-user-project": "payer",
    }
    ((url, form),) = token_service.posts
    assert url == "https://oauth2.googleapis.com/token"
    assert form == {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    own = await shown(google, headers={"x_goog_user_project": "mine"}, vertex_credentials=login)
    assert own["x-goog-user-project"] == "mine"


async def test_the_first_that_is_there_is_shown(token_service: RecordingService, tmp_path: Path) -> None:
    names = ("option", "vertexai", "adc")
    for name in names:
        (tmp_path / name).write_text(json.dumps({**USER, "refresh_token": name}))
    (tmp_path / "application_default_credentials.json").write_text(json.dumps({**USER, "refresh_token": "gcloud"}))
    environ = {
        "VERTEXAI_CREDENTIALS": str(tmp_path / "vertexai"),
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "adc"),
        "CLOUDSDK_CONFIG": str(tmp_path),
    }
    option = str(tmp_path / "option")
    google = signer(token_service, environ)
    assert await shown(google, "k", {"authorization": "mine"}) == {"authorization": "mine"}
    assert await shown(google, "k", {"x_goog_api_key": "mine"}) == {"x-goog-api-key": "mine"}
    assert await shown(google, "k", vertex_credentials=option) == {"x-goog-api-key": "k"}
    assert token_service.posts == []
    await shown(google, vertex_credentials=option)
    await shown(google)
    del environ["VERTEXAI_CREDENTIALS"]
    await shown(signer(token_service, environ))
    del environ["GOOGLE_APPLICATION_CREDENTIALS"]
    await shown(signer(token_service, environ))
    assert [form["refresh_token"] for _, form in token_service.posts] == [*names, "gcloud"]
    assert token_service.gets == []


async def test_without_any_this_machines_account_is_asked_for(token_service: RecordingService) -> None:
    await shown(signer(token_service))
    await shown(signer(token_service, {"GCE_METADATA_HOST": "127.0.0.1:8080"}))
    path = "computeMetadata/v1/instance/service-accounts/default/token"
    assert token_service.gets == [
        (f"http://metadata.google.internal/{path}", {"metadata-flavor": "Google"}),
        (f"http://127.0.0.1:8080/{path}", {"metadata-flavor": "Google"}),
    ]


async def test_accounts_do_not_mix(token_service: RecordingService) -> None:
    google = signer(token_service)
    one, other = json.dumps({**USER, "refresh_token": "1"}), json.dumps({**USER, "refresh_token": "2"})
    assert await shown(google, vertex_credentials=one) == {"authorization": "Bearer token-1"}
    assert await shown(google, vertex_credentials=other) == {"authorization": "Bearer token-2"}
    assert await shown(google, vertex_credentials=one) == {"authorization": "Bearer token-1"}


async def test_a_refused_token_is_fetched_anew_later(token_service: RecordingService) -> None:
    clock = [0.0]
    google = GoogleSigner(token_service, {}, clock=lambda: clock[0], now=lambda: NOW)  # type: ignore[arg-type]
    login = json.dumps(USER)
    await shown(google, vertex_credentials=login)
    clock[0] = 60.0
    google.refused(deployment("google", vertex_credentials=login))
    assert await shown(google, vertex_credentials=login) == {"authorization": "Bearer token-2"}


@pytest.mark.parametrize(
    "credentials",
    [
        "/nonexistent/file.json",
        "a\0b",
        "{",
        "{}",
        '{"type":"external_account"}',
        '{"type":7}',
        json.dumps({**ACCOUNT, "private_key": ""}),
        json.dumps({**ACCOUNT, "private_key": "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"}),
        json.dumps({**ACCOUNT, "private_key": pem(ec.generate_private_key(ec.SECP256R1()))}),
        '{"type":"service_account","private_key":"\\ud800"}',
    ],
)
async def test_credentials_that_cannot_be_used_are_a_typed_error(
    token_service: RecordingService, credentials: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await shown(signer(token_service), vertex_credentials=credentials)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert "vertex_credentials" in caught.value.message
    assert "SECRET" not in caught.value.message
    assert "nonexistent" not in caught.value.message


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(st.sampled_from(sorted(ACCOUNT)), JSON),
    kind=st.sampled_from(["service_account", "authorized_user", "other"]),
)
async def test_no_json_object_raises_anything_but_a_typed_error(
    token_service: RecordingService, members: dict[str, Any], kind: str
) -> None:
    try:
        await shown(signer(token_service), vertex_credentials=json.dumps({"type": kind, **members}))
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
