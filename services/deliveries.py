"""Where entries are delivered to beside the ledger: `export_webhook` and `export_bucket` of `general_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.section import Section
from services.yamltext import ConfigError

WEBHOOK = "export_webhook"


@dataclass(frozen=True, slots=True)
class ExportWebhook:
    """An address that takes entries. secret: what they are signed with; empty: they are not. headers: sent along."""

    # It may have a token in it.
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_webhook(general: Section) -> ExportWebhook | None:
    """The webhook; None where there is none. ConfigError where it is not whole: a webhook that is forgotten in silence
    is missed too late."""
    if general.raw.get(WEBHOOK) is None:
        return None
    section = general.section(WEBHOOK)
    _known_only(section, ("url", "secret", "headers"))
    if "secret" in section.raw and section.secret("secret") is None:
        raise ConfigError(section.place_of("secret"), "is empty, or names a variable that is not set")
    headers = {name.lower(): value for name, value in section.texts("headers").items()}
    return ExportWebhook(_address(section, "url"), section.secret("secret") or "", headers)


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
