"""`router_settings` of config.yaml: retries, fallbacks, aliases and strategies.

LiteLLM takes most of these keys in `litellm_settings` as well; those of `router_settings` win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from services.model_list import seconds
from services.section import Section
from services.yamltext import ConfigError

# Fallbacks of one group: its name, or `*` for any; then the groups to try, in their order.
Fallback = tuple[str, tuple[str, ...]]

ROUTING_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
    "cost-based-routing",
    "lar1",
)

# Each may take a whole timeout; a call that is tried more often has no caller any more.
_MAX_RETRIES = 100
# A chain that is longer is a mistake; each link may retry as well.
_MAX_FALLBACKS = 100
_MAX_FAILS = 1_000_000
# A day: what must rest longer is taken out of the file.
_MAX_REST_SECONDS = 86_400

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Alias:
    """What another name of model groups stands for: the groups to try, in order. hidden: not listed to callers."""

    groups: tuple[str, ...]
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How calls are routed; LiteLLM's defaults.

    timeout, stream_timeout: of an attempt, in seconds; they win over `litellm_settings.request_timeout`. retry_after:
    the least wait between two attempts, in seconds. max_fallbacks: how many groups are tried for one call.
    allowed_fails: failures in a minute after which a deployment rests; None: LiteLLM's own rule. cooldown_time: how
    long it rests, in seconds; 0: it never does. model_group_alias: by the alias.
    """

    timeout: float | None = None
    stream_timeout: float | None = None
    num_retries: int = 2
    retry_after: float = 0.0
    fallbacks: tuple[Fallback, ...] = ()
    default_fallbacks: tuple[str, ...] = ()
    max_fallbacks: int = 5
    model_group_alias: Mapping[str, Alias] = field(default_factory=dict)
    routing_strategy: str = ROUTING_STRATEGIES[0]
    allowed_fails: int | None = None
    cooldown_time: float = 5.0


def read_router_settings(router: Section, litellm: Section) -> RouterSettings:
    """The settings of both sections. ConfigError for one that cannot be used."""
    default = RouterSettings()

    def either(read: Callable[[Section], _T | None], otherwise: _T) -> _T:
        ours, theirs = read(router), read(litellm)
        if ours is not None:
            return ours
        return otherwise if theirs is None else theirs

    return RouterSettings(
        timeout=seconds(router, "timeout"),
        stream_timeout=seconds(router, "stream_timeout"),
        num_retries=either(lambda section: _count(section, "num_retries", _MAX_RETRIES), default.num_retries),
        retry_after=either(lambda section: _rest(section, "retry_after"), default.retry_after),
        fallbacks=either(_fallbacks, default.fallbacks),
        default_fallbacks=either(lambda section: section.names("default_fallbacks"), default.default_fallbacks),
        max_fallbacks=either(lambda section: _count(section, "max_fallbacks", _MAX_FALLBACKS), default.max_fallbacks),
        model_group_alias=_aliases(router),
        routing_strategy=_strategy(router) or default.routing_strategy,
        allowed_fails=either(lambda section: _count(section, "allowed_fails", _MAX_FAILS), default.allowed_fails),
        cooldown_time=either(lambda section: _rest(section, "cooldown_time"), default.cooldown_time),
    )


def _count(section: Section, name: str, highest: int) -> int | None:
    return section.integer(name, lowest=0, highest=highest)


def _rest(section: Section, name: str) -> float | None:
    value = section.number(name, lowest=Decimal(0), highest=_MAX_REST_SECONDS)
    return None if value is None else float(value)


def _fallbacks(section: Section) -> tuple[Fallback, ...] | None:
    """A list of mappings from a group to its fallbacks."""
    items = section.sections("fallbacks")
    if section.raw.get("fallbacks") is None:
        return None
    return tuple((group, item.names(group) or ()) for item in items for group in item.raw)


def _aliases(section: Section) -> Mapping[str, Alias]:
    """From an alias to a group, to a list of groups to try in order, or to `{model, hidden}`."""
    aliases = section.section("model_group_alias")
    return {name: _alias(aliases, name) for name in aliases.raw}


def _alias(aliases: Section, name: str) -> Alias:
    hidden = False
    if isinstance(aliases.raw[name], dict):
        written = aliases.section(name)
        groups, hidden = written.names("model"), written.boolean("hidden") or False
    else:
        groups = aliases.names(name)
    if not groups:
        raise ConfigError(aliases.place_of(name), "names no model group")
    return Alias(groups, hidden)


def _strategy(section: Section) -> str | None:
    strategy = section.text("routing_strategy")
    if strategy is not None and strategy not in ROUTING_STRATEGIES:
        message = f"no strategy is called {strategy!r}; there are {', '.join(ROUTING_STRATEGIES)}"
        raise ConfigError(section.place_of("routing_strategy"), message)
    return strategy
