"""IBM Cloud: tokens that its IAM gives for an API key.

The first that is there is used:

1. `authorization` in `extra_headers`;
2. `token`, as it is;
3. `zen_api_key`, of IBM's own software in a company's own cluster;
4. the deployment's `api_key`, for which IAM gives a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.catalog import Deployment
from router.credentials.base import NoCredential
from router.credentials.headers import with_headers
from router.credentials.token_service import TokenService
from router.credentials.tokens import Fetched, TokenCache
from router.wire.base import HttpRequest

_IAM_URL = "https://iam.cloud.ibm.com/identity/token"
_GRANT_TYPE = "urn:ibm:params:oauth:grant-type:apikey"


class IbmSigner:
    """`Signer` for `auth = "ibm"`. environ: variables of the process; clock: seconds that only go forward.

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
        if "authorization" in request.headers:
            return request
        token = self._option(deployment, "token", "WATSONX_TOKEN")
        zen_api_key = self._option(deployment, "zen_api_key", "WATSONX_ZENAPIKEY")
        if not token and zen_api_key:
            return with_headers(request, {"authorization": f"ZenApiKey {zen_api_key}"})
        if not token:
            api_key = deployment.api_key
            if not api_key:
                raise NoCredential("cannot be called: it has no api_key, no token and no zen_api_key").error(
                    deployment.provider
                )
            token = await self._kept.get(api_key, lambda: self._fetch(api_key), provider=deployment.provider)
        return with_headers(request, {"authorization": f"Bearer {token}"})

    def refused(self, deployment: Deployment) -> None:
        """See `Signer`."""
        self._kept.drop(deployment.api_key)

    def _option(self, deployment: Deployment, name: str, variable: str) -> str:
        return deployment.options.get(name) or self._environ.get(variable, "")

    async def _fetch(self, api_key: str) -> Fetched[str]:
        url = self._environ.get("WATSONX_IAM_URL") or _IAM_URL
        return await self._service.post(url, {"grant_type": _GRANT_TYPE, "apikey": api_key})
