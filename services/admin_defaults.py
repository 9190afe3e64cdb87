"""What config.yaml says of keys, users and teams that are made: defaults, upper bounds, and who may make keys.

Members are those of LiteLLM's bodies; they are checked here for their kind, and by the admin path that they go into for
everything else. What nothing acts on is no error, and is warned about at start.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from services.durations import parse
from services.ignored import IgnoredKey
from services.money import MAX_BUDGET_NANO_USD, NANO_USD
from services.section import Section
from services.yamltext import ConfigError

_MAX_USD = MAX_BUDGET_NANO_USD // NANO_USD
# What a counter can count.
_MAX_COUNT = 1 << 53

Params = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeyMaking:
    """Who but admins may make keys of one sort. roles: of users, or of members of the team; None: LiteLLM's default.
    required: members of the body."""

    roles: tuple[str, ...] | None = None
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminDefaults:
    """key, user, team: members that bodies have which do not name them. upper: what a key's may be at most, and are
    where they are not named. ignored: members that nothing acts on."""

    key: Params = field(default_factory=dict)
    upper: Params = field(default_factory=dict)
    user: Params = field(default_factory=dict)
    team: Params = field(default_factory=dict)
    personal_keys: KeyMaking = KeyMaking()
    team_keys: KeyMaking = KeyMaking()
    ignored: tuple[IgnoredKey, ...] = ()


def read_admin_defaults(section: Section) -> AdminDefaults:
    """Of `litellm_settings`. ConfigError names what does not fit."""
    user = _params(section, "default_internal_user_params", _OF_USERS)
    budget = section.number("max_internal_user_budget", lowest=0, highest=_MAX_USD)
    if budget is not None:
        user.setdefault("max_budget", float(budget))
    if (duration := _duration(section, "internal_user_budget_duration")) is not None:
        user.setdefault("budget_duration", duration)
    making = section.section("key_generation_settings")
    return AdminDefaults(
        key=_params(section, "default_key_generate_params", _OF_KEYS),
        upper=_params(section, "upperbound_key_generate_params", _UPPER),
        user=user,
        team=_params(section, "default_team_params", _OF_ALL),
        personal_keys=_key_making(making, *_PERSONAL),
        team_keys=_key_making(making, *_TEAM),
        ignored=tuple(_ignored(section, making)),
    )


def _number(section: Section, name: str) -> object:
    value = section.number(name, lowest=0, highest=_MAX_USD)
    return None if value is None else float(value)


def _count(section: Section, name: str) -> object:
    return section.integer(name, lowest=0, highest=_MAX_COUNT)


def _duration(section: Section, name: str) -> object:
    text = section.text(name)
    if text is not None:
        try:
            parse(text)
        except ValueError as error:
            raise ConfigError(section.place_of(name), str(error)) from error
    return text


def _text(section: Section, name: str) -> object:
    return section.text(name)


def _names(section: Section, name: str) -> object:
    names = section.names(name)
    return None if names is None else list(names)


def _mapping(section: Section, name: str) -> object:
    return section.json_mapping(name)


Reader = Callable[[Section, str], object]

_UPPER: Mapping[str, Reader] = {
    "max_budget": _number,
    "budget_duration": _duration,
    "duration": _duration,
    "max_parallel_requests": _count,
    "tpm_limit": _count,
    "rpm_limit": _count,
}
_OF_ALL: Mapping[str, Reader] = {
    **_UPPER,
    "models": _names,
    "metadata": _mapping,
    "soft_budget": _number,
    "budget_id": _text,
    "organization_id": _text,
    "tags": _names,
    "model_max_budget": _mapping,
    "model_rpm_limit": _mapping,
    "model_tpm_limit": _mapping,
}
_OF_KEYS: Mapping[str, Reader] = {
    **_OF_ALL,
    "team_id": _text,
    "user_id": _text,
    "allowed_routes": _names,
    "key_type": _text,
}
_OF_USERS: Mapping[str, Reader] = {**_OF_ALL, "user_role": _text, "teams": _names}
_PERSONAL = ("personal_key_generation", "allowed_user_roles")
_TEAM = ("team_key_generation", "allowed_team_member_roles")
_REQUIRED = "required_params"
# What each section has that is acted on.
_KNOWN: Mapping[str, Collection[str]] = {
    "default_key_generate_params": _OF_KEYS,
    "upperbound_key_generate_params": _UPPER,
    "default_internal_user_params": _OF_USERS,
    "default_team_params": _OF_ALL,
    "key_generation_settings": (_PERSONAL[0], _TEAM[0]),
}


def _params(section: Section, name: str, readers: Mapping[str, Reader]) -> dict[str, object]:
    members = section.section(name)
    read = {each: readers[each](members, each) for each in members.raw if each in readers}
    return {each: value for each, value in read.items() if value is not None}


def _key_making(section: Section, name: str, roles: str) -> KeyMaking:
    if name not in section.raw:
        return KeyMaking()
    members = section.section(name)
    return KeyMaking(
        roles=members.names(roles) if roles in members.raw else None,
        required=(members.names(_REQUIRED) or ()) if _REQUIRED in members.raw else (),
    )


def _ignored(section: Section, making: Section) -> Iterator[IgnoredKey]:
    sections = [(section.section(name), known) for name, known in _KNOWN.items()]
    sections += [(making.section(name), (roles, _REQUIRED)) for name, roles in (_PERSONAL, _TEAM) if name in making.raw]
    for members, known in sections:
        for name in members.raw:
            if name not in known:
                place = members.place_of(name)
                near = tuple(difflib.get_close_matches(name, known, n=2))
                yield IgnoredKey(place.key, place, times=1, known=False, near=near)
