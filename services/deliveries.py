"""Where entries are delivered to beside the ledger: `export_webhook` and `export_bucket` of `general_settings`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.section import Section
from services.sigv4 import AwsKeys
from services.yamltext import ConfigError

WEBHOOK = "export_webhook"
BUCKET = "export_bucket"

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
# What needs no encoding in a URL, nor in what is signed.
_PREFIX = re.compile(r"[A-Za-z0-9._=/-]{0,200}", re.ASCII)
_DOTS = re.compile(r"(^|/)\.{0,2}/")


@dataclass(frozen=True, slots=True)
class ExportWebhook:
    """An address that takes entries. secret: what they are signed with; empty: they are not. headers: sent along."""

    # It may have a token in it.
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ExportBucket:
    """Where objects go: their names follow `address/prefix`. address: of the bucket, without a slash at its end.
    prefix: empty, or with one."""

    address: str
    region: str
    keys: AwsKeys = field(repr=False)
    prefix: str = ""


def read_webhook(general: Section) -> ExportWebhook | None:
    """The webhook; None where there is none. ConfigError where it is not whole: a webhook that is forgotten in silence
    is missed too late."""
    section = general.section(WEBHOOK)
    if general.raw.get(WEBHOOK) is None:
        return None
    _known_only(section, ("url", "secret", "headers"))
    if "secret" in section.raw and section.secret("secret") is None:
        raise ConfigError(section.place_of("secret"), "is empty, or names a variable that is not set")
    headers = {name.lower(): value for name, value in section.texts("headers").items()}
    return ExportWebhook(_address(section, "url"), section.secret("secret") or "", headers)


def read_bucket(general: Section) -> ExportBucket | None:
    """The bucket; None where there is none. ConfigError where it is not whole."""
    section = general.section(BUCKET)
    if general.raw.get(BUCKET) is None:
        return None
    _known_only(
        section,
        ("bucket", "prefix", "region", "endpoint", "access_key_id", "secret_access_key", "session_token"),
    )
    bucket = _matching(section, "bucket", section.required_text("bucket"), _BUCKET_NAME)
    region = _matching(section, "region", section.text("region") or "us-east-1", _REGION)
    prefix = _matching(section, "prefix", (section.text("prefix") or "").strip("/"), _PREFIX)
    if _DOTS.search(f"{prefix}/") and prefix:
        raise ConfigError(section.place_of("prefix"), "has a part that is empty, or dots alone")
    keys = AwsKeys(
        _secret(section, "access_key_id"), _secret(section, "secret_access_key"), section.secret("session_token") or ""
    )
    # A server of one's own knows its buckets by path; AWS by the name of the host.
    address = f"https://{bucket}.s3.{region}.amazonaws.com"
    if section.raw.get("endpoint") is not None:
        address = f"{_address(section, 'endpoint').rstrip('/')}/{bucket}"
    return ExportBucket(address, region, keys, f"{prefix}/" if prefix else "")


def _matching(section: Section, name: str, text: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(text):
        raise ConfigError(section.place_of(name), f"is no {name}: it must be like {form.pattern}")
    return text


def _secret(section: Section, name: str) -> str:
    value = section.secret(name)
    if value is None:
        raise ConfigError(section.place_of(name), "is missing, or names a variable that is not set")
    return value


def _address(section: Section, name: str) -> str:
    url = section.required_text(name)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(section.place_of(name), "is no http or https address")
    return url


def _known_only(section: Section, names: tuple[str, ...]) -> None:
    for name in section.raw:
        if name not in names:
            raise ConfigError(section.place_of(name), f"is unknown here; there are {', '.join(names)}")
