"""AWS keys that botocore finds or has made. It blocks, so it runs in a thread; it is an extra, so it comes late."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from router.credentials.base import NoCredential
from router.credentials.tokens import Fetched
from services.errors import Reason
from services.sigv4 import AwsKeys

# botocore renews what it finds 10 minutes before its end, instance metadata 5; looking again is cheap, and sees files
# that have changed.
LOOK_AGAIN_SECONDS = 240.0
# To and from AWS's services, once: the fetch has a limit of its own, and threads cannot be broken off.
TIMEOUT_SECONDS = 4
DEFAULT_SESSION_NAME = "tollhouse"

_UNAVAILABLE = Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# A web identity token is a JWT: longer, or of another form, it is the name of a file.
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class AwsSource(NamedTuple):
    """Where keys come from; whatever is not said is empty. keys: what a role is assumed with."""

    keys: AwsKeys | None
    region: str
    profile: str
    role: str
    session_name: str
    external_id: str
    web_identity_token: str
    sts_endpoint: str

    def __repr__(self) -> str:
        return "AwsSource(...)"


def find_keys(source: AwsSource, now: Callable[[], datetime]) -> Fetched[AwsKeys]:
    """The keys of a source. Blocks. Raises NoCredential."""
    try:
        import botocore.exceptions
        import botocore.parsers
        import botocore.session
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError:
        raise NoCredential(
            "cannot be called: no AWS keys are configured, and to find others botocore is needed "
            "(pip install 'tollhouse[aws]')"
        ) from None
    errors = botocore.exceptions
    config = Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
    try:
        session = botocore.session.Session(profile=source.profile or None)
        session.set_default_client_config(config)
        if not source.role:
            return _found(session)
        # A web identity is its own proof: nobody need look for keys to sign with.
        client_config = Config(signature_version=UNSIGNED) if source.web_identity_token else None
        return _assumed(source, _sts_client(source, session, client_config), now)
    except errors.ClientError as error:
        raise _refusal(error.response) from None
    except (
        errors.ConnectionError,
        errors.HTTPClientError,
        errors.MetadataRetrievalError,
    ):
        raise NoCredential("cannot be called: AWS's token service cannot be reached", _UNAVAILABLE) from None
    except (botocore.parsers.ResponseParserError, LookupError, TypeError, AttributeError):
        # botocore relies on the shape of what it is answered.
        raise NoCredential("cannot be called: AWS's token service answers without keys", _UNAVAILABLE) from None
    except (errors.BotoCoreError, OSError, ValueError) as error:
        # The name of the kind says what is wrong; its text may say more than callers should see.
        raise NoCredential(f"cannot be called: its AWS keys cannot be had ({type(error).__name__})") from None


def _found(session: Any) -> Fetched[AwsKeys]:
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredential("cannot be called: no AWS keys are configured, and none were found")
    keys = credentials.get_frozen_credentials()
    return Fetched(AwsKeys(keys.access_key, keys.secret_key, keys.token or ""), LOOK_AGAIN_SECONDS)


def _sts_client(source: AwsSource, session: Any, config: Any) -> Any:
    """A client of the token service, with the source's own keys when it has any."""
    keys = source.keys if source.keys is not None and not source.profile else AwsKeys("", "")
    return session.create_client(
        "sts",
        region_name=source.region or None,
        endpoint_url=source.sts_endpoint or None,
        aws_access_key_id=keys.access_key_id or None,
        aws_secret_access_key=keys.secret_access_key or None,
        aws_session_token=keys.session_token or None,
        config=config,
    )


def _assumed(source: AwsSource, client: Any, now: Callable[[], datetime]) -> Fetched[AwsKeys]:
    """The temporary keys of a role."""
    asked = {"RoleArn": source.role, "RoleSessionName": source.session_name or DEFAULT_SESSION_NAME}
    try:
        if source.web_identity_token:
            token = _token_in(source.web_identity_token)
            answer = client.assume_role_with_web_identity(**asked, WebIdentityToken=token)
        else:
            answer = client.assume_role(**asked, **({"ExternalId": source.external_id} if source.external_id else {}))
    finally:
        client.close()
    made = answer["Credentials"]
    keys = AwsKeys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    return Fetched(keys, (made["Expiration"] - now()).total_seconds())


def _token_in(text: str) -> str:
    return text if _JWT.fullmatch(text) else Path(text).read_text().strip()


def _refusal(response: Mapping[str, Any]) -> NoCredential:
    """What an error that AWS answered means."""
    code = response.get("Error", {}).get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    shown = code if _CODE.fullmatch(code) else f"status {status}"
    if status >= 500 or status == 429 or "Throttl" in code:
        return NoCredential(f"cannot be called: AWS's token service fails ({shown})", _UNAVAILABLE)
    return NoCredential(f"cannot be called: AWS's token service refuses the credential ({shown})")
