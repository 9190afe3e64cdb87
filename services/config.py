"""config.yaml, as LiteLLM's users wrote it: the part that is acted on, typed; the rest accepted and named.

    config = load(path, os.environ)     reads the file, and those that it includes
    config = parse(text, ...)           the same of a text, pure

Public keys keep LiteLLM's words. Costs are Decimals, of the very text in the file. A key that nothing acts on yet is
no error, for the file must work in LiteLLM's place: `Config.ignored` lists it, to be warned about once at start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services import durations, known_keys
from services.admin_defaults import AdminDefaults, read_admin_defaults
from services.alerting import Alerting, read_alerting
from services.costs import Costs
from services.default_terms import OwnerSettings, read_owner_settings
from services.deliveries import ExportBucket, ExportWebhook, read_bucket, read_webhook
from services.ignored import IgnoredKey, ignored_keys
from services.include import MAX_FILE_BYTES, read_files
from services.markups import Markup, read_markups
from services.model_list import EntrySections, LitellmParams, ModelEntry, ModelInfo, read_entries, seconds
from services.router_settings import Alias, RouterSettings, read_router_settings
from services.section import Section
from services.yamltext import ConfigError, Place, read

__all__ = [
    "MAX_FILE_BYTES",
    "Alias",
    "Config",
    "ConfigError",
    "Costs",
    "GeneralSettings",
    "IgnoredKey",
    "LitellmParams",
    "LitellmSettings",
    "ModelEntry",
    "ModelInfo",
    "Place",
    "RouterSettings",
    "load",
    "parse",
]

# LiteLLM waits 6,000 s, in which a provider that hangs keeps a connection, and a caller's money, for 100 minutes. The
# OpenAI SDKs give up after 600 s, so nobody is there to read a later answer.
DEFAULT_REQUEST_TIMEOUT_SECONDS = 600.0


# Entries are dropped by whole days. What comes again after its entry was dropped would be counted twice; a router that
# was away for less than this is not to cause that.
MIN_RETENTION_SECONDS = 86_400
# None shall be dropped early.
_MONTH_SECONDS = 31 * 86_400

# What every system takes as the name of a variable.
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


@dataclass(frozen=True, slots=True)
class LitellmSettings:
    """`request_timeout`: of one attempt, in seconds. `drop_params`: drop what a provider does not know, instead of
    refusing the call. `markups`: discounts and margins, for `markups.markup_of`. `admin`: of keys, users and teams that
    are made."""

    budget_exceeded_status_code: int = 422
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT_SECONDS
    drop_params: bool = False
    markups: Mapping[str, Markup] = field(default_factory=dict)
    admin: AdminDefaults = field(default_factory=AdminDefaults)


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """Secrets of the installation; the environment's are in `settings.py`. And how long single entries are kept; None:
    for ever. permits_weak_master_key: one that everybody knows may be used where others can reach it.
    `litellm_key_header_name`: one more header that carries keys. export_*: where entries are delivered to.
    alerting: what operators are told."""

    master_key: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    maximum_spend_logs_retention_seconds: int | None = None
    permits_weak_master_key: bool = False
    litellm_key_header_name: str | None = None
    export_webhook: ExportWebhook | None = None
    export_bucket: ExportBucket | None = None
    alerting: Alerting | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. `environment_variables`: what the process puts into its environment, secrets among it;
    they count for everything else in the file already. `ignored`: the keys that nothing acts on."""

    model_list: tuple[ModelEntry, ...] = ()
    litellm_settings: LitellmSettings = field(default_factory=LitellmSettings)
    general_settings: GeneralSettings = GeneralSettings()
    router_settings: RouterSettings = field(default_factory=RouterSettings)
    owners: OwnerSettings = field(default_factory=OwnerSettings)
    environment_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    ignored: tuple[IgnoredKey, ...] = ()


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a file and what it includes. ConfigError when one cannot be read or used."""
    variables = dict(environ)
    return _config(read_files(path, variables), variables)


def parse(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    """The configuration in a text that errors call `name`; it includes no files. ConfigError names line and key."""
    variables = dict(environ)
    document = read(text, name)
    root = Section(document, "", document.root, variables)
    if root.names("include"):
        raise ConfigError(root.place_of("include"), "a text that is no file cannot include one")
    return _config([root], variables)


def _config(files: Sequence[Section], variables: dict[str, str]) -> Config:
    """`variables`: where `files` look theirs up."""
    exported = _environment_variables(files)
    # Members look variables up when they are read, so from here on these count.
    variables |= exported
    litellm, general, router = (
        Section.merged([file.section(name) for file in files])
        for name in (known_keys.LITELLM, known_keys.GENERAL, known_keys.ROUTER)
    )
    settings = _litellm_settings(litellm)
    model_list, entries = read_entries(entry for file in files for entry in file.sections("model_list"))
    return Config(
        model_list=model_list,
        litellm_settings=settings,
        general_settings=GeneralSettings(
            general.secret("master_key"),
            general.secret("database_url"),
            _retention_seconds(general),
            general.boolean("dangerously_permit_weak_or_unset_master_key") or False,
            _header_name(general, "litellm_key_header_name"),
            read_webhook(general),
            read_bucket(general),
            read_alerting(general, variables),
        ),
        router_settings=read_router_settings(router, litellm),
        owners=read_owner_settings(litellm, general),
        environment_variables=exported,
        ignored=settings.admin.ignored
        + ignored_keys(
            [
                *_by_path(entries),
                (known_keys.LITELLM, litellm),
                (known_keys.GENERAL, general),
                (known_keys.TEAMS, general.section("default_team_settings")),
                (known_keys.ROUTER, router),
                *((known_keys.TOP, file) for file in files),
            ]
        ),
    )


def _by_path(entries: Sequence[EntrySections]) -> Iterator[tuple[str, Section]]:
    for written in entries:
        yield from zip((known_keys.ENTRY, known_keys.PARAMS, known_keys.INFO), written, strict=True)


def _header_name(section: Section, name: str) -> str | None:
    header = section.text(name)
    if header is not None and not _HEADER_NAME.fullmatch(header):
        raise ConfigError(section.place_of(name), "is no name of a header: letters, digits and - make one")
    return header


def _environment_variables(files: Sequence[Section]) -> dict[str, str]:
    section = Section.merged([file.section("environment_variables") for file in files])
    for name in section.raw:
        if not _VARIABLE_NAME.fullmatch(name):
            raise ConfigError(section.place_of(name), "is no name of a variable: letters, digits and _ make one")
    values = {name: value for name in section.raw if (value := section.scalar(name)) is not None}
    for name, value in values.items():
        if "\0" in value:
            raise ConfigError(section.place_of(name), "holds a NUL, which no variable can")
    return values


def _retention_seconds(section: Section) -> int | None:
    name = "maximum_spend_logs_retention_period"
    text = section.text(name)
    if text is None:
        return None
    try:
        duration = durations.parse(text)
    except ValueError as error:
        raise ConfigError(section.place_of(name), "expected a number and one of h, d, w, mo, such as 30d") from error
    kept_seconds = duration.count * (_MONTH_SECONDS if duration.unit == "mo" else durations.SECONDS[duration.unit])
    if kept_seconds < MIN_RETENTION_SECONDS:
        raise ConfigError(section.place_of(name), "entries are kept for at least a day")
    return kept_seconds


def _litellm_settings(section: Section) -> LitellmSettings:
    default = LitellmSettings()
    status = section.integer("budget_exceeded_status_code", lowest=400, highest=599)
    return LitellmSettings(
        budget_exceeded_status_code=default.budget_exceeded_status_code if status is None else status,
        request_timeout=seconds(section, "request_timeout") or default.request_timeout,
        drop_params=section.boolean("drop_params") or default.drop_params,
        markups=read_markups(section),
        admin=read_admin_defaults(section),
    )
