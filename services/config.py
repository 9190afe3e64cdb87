"""config.yaml, as LiteLLM's users wrote it: the part that is acted on, typed; the rest accepted and named.

    config = load(path, os.environ)     reads the file
    config = parse(text, ...)           the same, pure

Public keys keep LiteLLM's words. Costs are Decimals, of the very text in the file. A key that nothing acts on yet is
no error, for the file must work in LiteLLM's place: `Config.ignored` lists it, to be warned about once at start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from services.model_list import Costs, LitellmParams, ModelEntry, ModelInfo, read_entries, seconds
from services.money import MAX_BUDGET_NANO_USD, NANO_USD
from services.section import Section
from services.yamltext import ConfigError, Place, read

__all__ = [
    "Config",
    "ConfigError",
    "Costs",
    "GeneralSettings",
    "LitellmParams",
    "LitellmSettings",
    "ModelEntry",
    "ModelInfo",
    "Place",
    "RouterSettings",
    "load",
    "parse",
]

# Twenty thousand deployments written at length; anything larger is not a configuration.
MAX_FILE_BYTES = 4 * 1024 * 1024

# LiteLLM waits 6,000 s, in which a provider that hangs keeps a connection, and a caller's money, for 100 minutes. The
# OpenAI SDKs give up after 600 s, so nobody is there to read a later answer.
DEFAULT_REQUEST_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class LitellmSettings:
    """`max_budget`: the whole gateway's, in USD; None: no limit. `request_timeout`: of one attempt, in seconds."""

    max_budget: Decimal | None = None
    budget_exceeded_status_code: int = 422
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """Secrets of the installation; the environment's are in `settings.py`."""

    master_key: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """In seconds; each wins over `litellm_settings.request_timeout`."""

    timeout: float | None = None
    stream_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole file. `ignored`: keys that nothing acts on, by their paths."""

    model_list: tuple[ModelEntry, ...] = ()
    litellm_settings: LitellmSettings = LitellmSettings()
    general_settings: GeneralSettings = GeneralSettings()
    router_settings: RouterSettings = RouterSettings()
    ignored: tuple[str, ...] = ()


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a file. ConfigError when it cannot be read or used."""
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(place, f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(place, f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(Place(str(path), line), "is not UTF-8") from error
    return parse(text, name=str(path), environ=environ)


def parse(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    """The configuration in a text that errors call `name`. ConfigError names line and key."""
    document = read(text, name)
    root = Section(document, "", document.root, environ)
    model_list, ignored = read_entries(root.sections("model_list"))
    litellm = root.section("litellm_settings")
    general = root.section("general_settings")
    router = root.section("router_settings")
    litellm_settings = _litellm_settings(litellm)
    general_settings = GeneralSettings(general.secret("master_key"), general.secret("database_url"))
    router_settings = RouterSettings(seconds(router, "timeout"), seconds(router, "stream_timeout"))
    for section in (litellm, general, router, root):
        ignored += section.unread()
    return Config(model_list, litellm_settings, general_settings, router_settings, tuple(ignored))


def _litellm_settings(section: Section) -> LitellmSettings:
    default = LitellmSettings()
    max_budget = section.number("max_budget", lowest=0, highest=MAX_BUDGET_NANO_USD // NANO_USD)
    status = section.integer("budget_exceeded_status_code", lowest=400, highest=599)
    return LitellmSettings(
        # 0 switches it off, as in LiteLLM.
        max_budget=max_budget or None,
        budget_exceeded_status_code=default.budget_exceeded_status_code if status is None else status,
        request_timeout=seconds(section, "request_timeout") or default.request_timeout,
    )
