"""AWS: requests signed with keys that stand in the configuration, or that AWS's own library finds.

The first that is there is used:

1. `authorization` in `extra_headers`, or the deployment's `api_key` (a Bedrock API key), sent as a bearer;
2. `aws_role_name`, by `aws_web_identity_token` or by the keys of what follows;
3. `aws_profile_name`;
4. `aws_access_key_id` with `aws_secret_access_key` and `aws_session_token`;
5. the same three of the environment, all or none: a token that belongs to another key would spoil it;
6. whatever botocore finds: shared files, web identity of a pod, container and instance metadata.

All but 1, 4 and 5 need botocore (`pip install tollhouse[aws]`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from datetime import datetime

from router.catalog import Deployment
from router.credentials.aws_library import AwsSource, find_keys
from router.credentials.base import NoCredential
from router.credentials.headers import with_headers
from router.credentials.sigv4 import sign
from router.credentials.tokens import TokenCache
from router.wire.base import HttpRequest
from services.sigv4 import AwsKeys

# What AWS calls the service, unless the provider's row says so in an option of this name.
SERVICE_OPTION = "aws_service"
DEFAULT_SERVICE = "bedrock"
REGION_OPTION = "aws_region_name"


class AwsSigner:
    """`Signer` for `auth = "aws"`. environ: variables of the process; clock: seconds that only go forward; now: aware.

    Close it inside the event loop that uses it.
    """

    def __init__(self, environ: Mapping[str, str], *, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._environ = environ
        self._now = now
        self._kept: TokenCache[AwsKeys] = TokenCache(clock)

    async def close(self) -> None:
        """Break off what is being fetched."""
        await self._kept.close()

    async def sign(self, request: HttpRequest, deployment: Deployment) -> HttpRequest:
        """See `Signer`."""
        if "authorization" in request.headers:
            return request
        if deployment.api_key:
            return with_headers(request, {"authorization": f"Bearer {deployment.api_key}"})
        region = deployment.options.get(REGION_OPTION)
        if not region:
            raise NoCredential("cannot be called: aws_region_name is missing").error(deployment.provider)
        source = _source_of(deployment)
        keys = _plain_keys(source, self._environ)
        if keys is None:
            fetch = functools.partial(asyncio.to_thread, find_keys, source, self._now)
            keys = await self._kept.get(source, fetch, provider=deployment.provider)
        service = deployment.options.get(SERVICE_OPTION, DEFAULT_SERVICE)
        try:
            return sign(request, keys, region=region, service=service, now=self._now())
        except ValueError:
            raise NoCredential("has an address or a credential that cannot be signed").error(
                deployment.provider
            ) from None

    def refused(self, deployment: Deployment) -> None:
        """See `Signer`."""
        self._kept.drop(_source_of(deployment))


def _source_of(deployment: Deployment) -> AwsSource:
    option = deployment.options.get
    return AwsSource(
        keys=_keys(option("aws_access_key_id"), option("aws_secret_access_key"), option("aws_session_token")),
        region=option(REGION_OPTION, ""),
        profile=option("aws_profile_name", ""),
        role=option("aws_role_name", ""),
        session_name=option("aws_session_name", ""),
        external_id=option("aws_external_id", ""),
        web_identity_token=option("aws_web_identity_token", ""),
        sts_endpoint=option("aws_sts_endpoint", ""),
    )


def _plain_keys(source: AwsSource, environ: Mapping[str, str]) -> AwsKeys | None:
    """Keys that need no looking for."""
    if source.role or source.profile:
        return None
    return source.keys or _keys(
        environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY"), environ.get("AWS_SESSION_TOKEN")
    )


def _keys(access_key_id: str | None, secret_access_key: str | None, session_token: str | None) -> AwsKeys | None:
    if not access_key_id or not secret_access_key:
        return None
    return AwsKeys(access_key_id, secret_access_key, session_token or "")
