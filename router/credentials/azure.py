"""Azure: a resource's key, or tokens of Entra.

The first that is there is used:

1. `authorization` or `api-key` in `extra_headers`;
2. the deployment's `api_key`, sent as `api-key`;
3. `azure_ad_token`, as it is;
4. `tenant_id` and `client_id` with `client_secret`;
5. the same two with the file that AZURE_FEDERATED_TOKEN_FILE names, as a pod with a workload identity has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from router.catalog import Deployment
from router.credentials.base import NoCredential
from router.credentials.headers import with_headers
from router.credentials.token_service import TokenService
from router.credentials.tokens import Fetched, TokenCache
from router.wire.base import HttpRequest

_AUTHORITY = "https://login.microsoftonline.com"
_SCOPE = "https://cognitiveservices.azure.com/.default"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class _Application(NamedTuple):
    """Who asks for tokens, where and for what. secret_file: holds an assertion that stands in for the secret."""

    authority: str
    tenant: str
    client: str
    secret: str
    secret_file: str
    scope: str

    def __repr__(self) -> str:
        return "_Application(...)"


class AzureSigner:
    """`Signer` for `auth = "azure"`. environ: variables of the process; clock: seconds that only go forward.

    Close it inside the event loop that uses it.
    """

    def __init__(self, service: TokenService, environ: Mapping[str, str], *, clock: Callable[[], float]) -> None:
        self._service = service
        self._environ = environ
        self._kept: TokenCache[str] = TokenCache(clock)

    async def close(self) -> None:
        """Break off what is being fetched."""
        await self._kept.close()

    async def sign(self, request: HttpRequest, deployment: Deployment) -> HttpRequest:
        """See `Signer`."""
        if "authorization" in request.headers or "api-key" in request.headers:
            return request
        if deployment.api_key:
            return with_headers(request, {"api-key": deployment.api_key})
        token = self._option(deployment, "azure_ad_token", "AZURE_AD_TOKEN")
        if not token:
            application = self._application_of(deployment)
            if application is None:
                raise NoCredential(
                    "cannot be called: it has no api_key, no azure_ad_token, and no tenant_id with client_id and "
                    "client_secret"
                ).error(deployment.provider)
            token = await self._kept.get(application, lambda: self._fetch(application), provider=deployment.provider)
        return with_headers(request, {"authorization": f"Bearer {token}"})

    def refused(self, deployment: Deployment) -> None:
        """See `Signer`."""
        self._kept.drop(self._application_of(deployment))

    def _application_of(self, deployment: Deployment) -> _Application | None:
        application = _Application(
            authority=self._option(deployment, "azure_authority_host", "AZURE_AUTHORITY_HOST") or _AUTHORITY,
            tenant=self._option(deployment, "tenant_id", "AZURE_TENANT_ID"),
            client=self._option(deployment, "client_id", "AZURE_CLIENT_ID"),
            secret=(secret := self._option(deployment, "client_secret", "AZURE_CLIENT_SECRET")),
            secret_file="" if secret else self._environ.get("AZURE_FEDERATED_TOKEN_FILE", ""),
            scope=self._option(deployment, "azure_scope", "AZURE_SCOPE") or _SCOPE,
        )
        is_whole = application.tenant and application.client and (application.secret or application.secret_file)
        return application if is_whole else None

    def _option(self, deployment: Deployment, name: str, variable: str) -> str:
        return deployment.options.get(name) or self._environ.get(variable, "")

    async def _fetch(self, application: _Application) -> Fetched[str]:
        if application.secret:
            proof = {"client_secret": application.secret}
        else:
            # Read each time: the cluster replaces it.
            assertion = await asyncio.to_thread(_read, application.secret_file)
            proof = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}
        form = {
            "grant_type": "client_credentials",
            "client_id": application.client,
            "scope": application.scope,
            **proof,
        }
        authority = application.authority.rstrip("/")
        authority = authority if "://" in authority else f"https://{authority}"
        return await self._service.post(f"{authority}/{quote(application.tenant, safe='')}/oauth2/v2.0/token", form)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise NoCredential("cannot be called: the file of AZURE_FEDERATED_TOKEN_FILE cannot be read") from None
