"""Google Cloud: access tokens for a service account, for a user, or for the machine that this runs on.

The first that is there is used:

1. `authorization` or `x-goog-api-key` in `extra_headers`;
2. the deployment's `api_key`, sent as `x-goog-api-key`;
3. `vertex_credentials`, or one of the variables VERTEXAI_CREDENTIALS and GOOGLE_APPLICATION_CREDENTIALS: the JSON
   itself or its file, of a service account or of a user;
4. the file that `gcloud auth application-default login` writes;
5. the metadata server of Google's machines.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from router.catalog import Deployment
from router.credentials.base import NoCredential
from router.credentials.headers import with_headers
from router.credentials.token_service import TokenService
from router.credentials.tokens import Fetched, TokenCache
from router.wire.base import HttpRequest

CREDENTIALS_OPTION = "vertex_credentials"
CREDENTIALS_VARIABLES = ("VERTEXAI_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS")

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
_METADATA_HOST = "metadata.google.internal"
_METADATA_PATH = "computeMetadata/v1/instance/service-accounts/default/token"
# The longest that Google takes.
_ASSERTION_SECONDS = 3600
# A key file is 2.4 KB.
_MAX_FILE_BYTES = 64 * 1024


class _Credential(msgspec.Struct):
    """A credential's JSON: a service account's key, or what a user's login left."""

    type: str = ""
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    token_uri: str = _TOKEN_URI
    quota_project_id: str = ""

    def __repr__(self) -> str:
        return f"_Credential({self.type!r})"


class _Ask(msgspec.Struct):
    """What the token service is asked, and what goes beside the token."""

    url: str
    form: Mapping[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"_Ask({self.url!r})"


class GoogleSigner:
    """`Signer` for `auth = "google"`. environ: variables of the process; clock: seconds that only go forward; now: of
    the epoch.

    Close it inside the event loop that uses it.
    """

    def __init__(
        self,
        service: TokenService,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._service = service
        self._environ = environ
        self._now = now
        self._kept: TokenCache[Mapping[str, str]] = TokenCache(clock)

    async def close(self) -> None:
        """Break off what is being fetched."""
        await self._kept.close()

    async def sign(self, request: HttpRequest, deployment: Deployment) -> HttpRequest:
        """See `Signer`."""
        if "authorization" in request.headers or "x-goog-api-key" in request.headers:
            return request
        if deployment.api_key:
            return with_headers(request, {"x-goog-api-key": deployment.api_key})
        source = self._source_of(deployment)
        headers = await self._kept.get(source, lambda: self._fetch(source), provider=deployment.provider)
        return with_headers(request, {**headers, **request.headers})

    def refused(self, deployment: Deployment) -> None:
        """See `Signer`."""
        self._kept.drop(self._source_of(deployment))

    def _source_of(self, deployment: Deployment) -> str:
        """JSON, the name of a file, or nothing at all."""
        named = (self._environ.get(name, "") for name in CREDENTIALS_VARIABLES)
        return deployment.options.get(CREDENTIALS_OPTION, "") or next(filter(None, named), "")

    async def _fetch(self, source: str) -> Fetched[Mapping[str, str]]:
        # A file is read each time: it may have been replaced.
        ask = await asyncio.to_thread(_ask, source, self._environ, self._now)
        headers: Mapping[str, str] = {}
        if ask is None:
            token = await self._of_this_machine()
        else:
            token = await self._service.post(ask.url, ask.form)
            headers = ask.headers
        return Fetched({"authorization": f"Bearer {token.value}", **headers}, token.life_seconds)

    async def _of_this_machine(self) -> Fetched[str]:
        host = self._environ.get("GCE_METADATA_HOST") or _METADATA_HOST
        try:
            return await self._service.get(f"http://{host}/{_METADATA_PATH}", {"metadata-flavor": "Google"})
        except NoCredential as failure:
            raise NoCredential(
                f"{failure.what}; no vertex_credentials are given, so the metadata server was asked",
                failure.reason,
                failure.retry_after_seconds,
            ) from None


def _ask(source: str, environ: Mapping[str, str], now: Callable[[], float]) -> _Ask | None:
    """What to ask for the credential's token; None: it is this machine's. Reads files, so it blocks."""
    text = source if source.lstrip().startswith("{") else _read(source, environ)
    if text is None:
        return None
    try:
        credential = msgspec.json.decode(text, type=_Credential)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise NoCredential("cannot be called: its vertex_credentials are not the JSON of a credential") from None
    beside = {"x-goog-user-project": credential.quota_project_id} if credential.quota_project_id else {}
    if credential.type == "service_account":
        return _Ask(credential.token_uri, _service_account_form(credential, int(now())), beside)
    if credential.type == "authorized_user":
        return _Ask(credential.token_uri, _user_form(credential), beside)
    raise NoCredential(
        "cannot be called: its vertex_credentials are of a type that is not known; "
        "service_account and authorized_user are"
    )


def _read(source: str, environ: Mapping[str, str]) -> bytes | None:
    if source:
        path = Path(source)
    else:
        folder = environ.get("CLOUDSDK_CONFIG") or f"{environ.get('HOME', '')}/.config/gcloud"
        path = Path(folder) / "application_default_credentials.json"
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError):
        if not source:
            return None
        raise NoCredential("cannot be called: the file of its vertex_credentials cannot be read") from None


def _user_form(credential: _Credential) -> dict[str, str]:
    return {
        "grant_type": "refresh_token",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret,
        "refresh_token": credential.refresh_token,
    }


def _service_account_form(credential: _Credential, now: int) -> dict[str, str]:
    """RFC 7523: an assertion that the account's key has signed. now: of the epoch."""
    head = {"alg": "RS256", "typ": "JWT", "kid": credential.private_key_id}
    claims = {
        "iss": credential.client_email,
        "scope": _SCOPE,
        "aud": credential.token_uri,
        "iat": now,
        "exp": now + _ASSERTION_SECONDS,
    }
    message = f"{_base64(msgspec.json.encode(head))}.{_base64(msgspec.json.encode(claims))}"
    try:
        key = load_pem_private_key(credential.private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise NoCredential("cannot be called: the private key of its vertex_credentials cannot be used")
    signature = key.sign(message.encode(), PKCS1v15(), SHA256())
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": f"{message}.{_base64(signature)}",
    }


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
