"""What this router can call: model groups, and the deployments behind each.

    catalog = build(config, environ, functools.cache(lambda: load_price_table(now)))

Pure, but for the price table, which is loaded only when some deployment's price is not configured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from gateway.v1 import common_pb2

from router.operations import BY_MODE, CHAT, READING_PATHS, is_offered, offers, operation_of, owner_of
from router.providers.address import chat_address, operation_address
from router.providers.output_limits import output_limit
from router.providers.output_shown import shows_all_output
from router.providers.prices import ListPrice, price_from, states_price
from router.providers.provider import (
    NOT_SERVED_YET,
    PROVIDERS,
    SIGNER_OPTIONS,
    Offer,
    Provider,
    filled_in,
    near_names,
)
from router.providers.quirks import NONE, Quirks
from router.providers.tariff import Tariff
from services.config import Alias, Config, ConfigError, ModelEntry, Place
from services.markups import markup_of
from services.model_list import READING_MEMBERS
from services.money import Rates


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`, ready to be called.

    group: the model group it serves. provider: names the row of `providers/provider.py`. wire: names the provider's
    language, of `router.wire.WIRES`; empty: it does not chat. provider_model: what the provider calls the model.
    api_base: without a trailing slash. operation: what it is checked with; it can be asked for every operation that its
    wires have. api_key: empty when the provider wants none; auth: where it goes, as `providers/provider.py` says.
    options: what else the provider needs to know, by the names that its row gives them. chat_url: the whole address of
    chat completions, for wires that have no paths of their own; headers: what the provider wants sent with every
    request. quirks: how it departs from OpenAI's language; None when it does not. rates settle a call, ceiling_rates
    size its hold; both are zero when `unpriced`. max_*_tokens: 0 when unknown. shows_all_output: it generates nothing
    that a stream does not show. mock_response: answer this instead of calling anybody. timeout_seconds: of an attempt;
    stream_timeout_seconds: of a streamed one. drop_params: drop what the provider does not know instead of refusing the
    call; additional_drop_params: drop these in any case, `tools[*].strict` for one inside a member;
    allowed_openai_params: send these, whatever the row says. defaults: members of the body for callers that do not give
    them; extra_body: members that override theirs; both hold plain JSON values. weight, rpm, tpm: for
    `routing/shuffle.py`. others: the same deployment as operations beside chat see it: with their wire, address and
    quirks. access_groups: names that stand for its group in lists of models.
    """

    id: str
    group: str
    provider: str
    provider_model: str
    api_base: str
    api_key: str = field(default="", repr=False)
    rates: Rates | Tariff = field(default_factory=Rates)
    ceiling_rates: Rates = field(default_factory=Rates)
    unpriced: bool = False
    max_output_tokens: int = 0
    max_input_tokens: int = 0
    shows_all_output: bool = False
    mock_response: str | None = None
    timeout_seconds: float = 600.0
    stream_timeout_seconds: float = 600.0
    drop_params: bool = False
    additional_drop_params: tuple[str, ...] = ()
    access_groups: tuple[str, ...] = ()
    allowed_openai_params: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    # Both may carry credentials.
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, object] = field(default_factory=dict, repr=False)
    operation: common_pb2.Operation = CHAT
    wire: str = "openai"
    auth: str = "bearer"
    # Credentials among them.
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    chat_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    quirks: Quirks | None = None
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    others: Mapping[common_pb2.Operation, Deployment] = field(default_factory=dict, repr=False)

    def at(self, operation: common_pb2.Operation) -> Deployment | None:
        """The deployment as an operation sees it; None when it does not offer that."""
        if operation in READING_PATHS:
            return self.others.get(operation)
        # Edges of old say no operation where they mean chat.
        return self if self.wire or self.mock_response is not None else None


class Prices(Protocol):
    """What the catalog asks of the price table (`providers/price_table.py`)."""

    def find(self, provider: str, model: str) -> ListPrice | None:
        """The list price of a model of a provider; None when unknown."""

    def provider_of(self, model: str) -> str | None:
        """Whose model this is, by its name alone; None when unknown."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All model groups by name, each with at least one deployment. `left_out` says what cannot be served, and why.

    aliases: other names, each for some groups, of which those that do not exist are passed over.
    """

    groups: Mapping[str, tuple[Deployment, ...]]
    left_out: tuple[str, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def to_proto(self) -> common_pb2.Catalog:
        """The catalog as edges and keystores see it."""
        models = [_model(name, group) for name, group in self.groups.items()]
        for name, alias in self.aliases.items():
            behind = tuple(each for group in alias.groups for each in self.groups.get(group, ()))
            if behind:
                models.append(_model(name, behind))
                models[-1].hidden = alias.hidden
        return common_pb2.Catalog(models=models)


def _model(name: str, group: tuple[Deployment, ...]) -> common_pb2.CatalogModel:
    """A group at its dearest, so that a hold sized from it pays for any of its deployments."""
    rates = [deployment.ceiling_rates for deployment in group]
    return common_pb2.CatalogModel(
        name=name,
        operation=group[0].operation,
        input_nano_usd_per_mtok=max(each.dearest_input for each in rates),
        output_nano_usd_per_mtok=max(each.dearest_output for each in rates),
        request_nano_usd=max(each.request for each in rates),
        max_output_tokens=_largest_known(deployment.max_output_tokens for deployment in group),
        max_input_tokens=_largest_known(deployment.max_input_tokens for deployment in group),
        unpriced=any(deployment.unpriced for deployment in group),
        shows_all_output=all(deployment.shows_all_output for deployment in group),
        access_groups=sorted({name for deployment in group for name in deployment.access_groups}),
    )


def _largest_known(limits: Iterable[int]) -> int:
    """The largest limit; 0, unknown, as soon as one of them is: it could be larger than all the others."""
    known = tuple(limits)
    return max(known) if all(known) else 0


# Members that a deployment may set for callers of operations that only read.
_READING_DEFAULTS = frozenset((*READING_MEMBERS, "user"))


# The row of a model that has an address and nobody's name.
_BY_ADDRESS_ALONE = "openai_like"


@dataclass(frozen=True, slots=True)
class _Target:
    provider: Provider
    model: str


def build(config: Config, environ: Mapping[str, str], prices: Callable[[], Prices]) -> Catalog:
    """The catalog of a configuration. ConfigError names an entry that cannot be meant.

    An entry that asks for what is not served yet is left out and named in `left_out`.
    """
    groups: dict[str, list[Deployment]] = {}
    left_out: list[str] = []
    for entry in config.model_list:
        target = _target(entry, prices)
        if isinstance(target, _Target):
            target = _offering(entry, target)
        if isinstance(target, str):
            left_out.append(f"{entry.place} {entry.model_name} is left out: {target}")
        else:
            groups.setdefault(entry.model_name, []).append(_deployment(entry, target, config, environ, prices))
    by_name = {name: tuple(group) for name, group in groups.items()}
    return Catalog(by_name, tuple(left_out), config.router_settings.model_group_alias)


def _target(entry: ModelEntry, prices: Callable[[], Prices]) -> _Target | str:
    """Whose model an entry means; or, as a text, why it cannot be served."""
    if entry.info.mode is not None and entry.info.mode not in BY_MODE:
        return f"the mode {entry.info.mode} is not served yet"
    if "*" in entry.model_name or "*" in entry.params.model:
        return "wildcards are not served yet"
    model = entry.params.model
    prefix, slash, rest = model.partition("/")
    name = entry.params.custom_llm_provider or (prefix if slash else None)
    if name is None:
        return _owner_of(entry, model, prices)
    if name in PROVIDERS:
        return _Target(PROVIDERS[name], rest if prefix == name else model)
    if name in NOT_SERVED_YET:
        return f"the provider {name} is not served yet"
    near = near_names(name)
    hint = f" (is it {' or '.join(near)}?)" if near else ""
    advice = f"for a server that speaks OpenAI's language write openai/{model} and an api_base"
    raise _error(entry, "model", f"no provider is called {name!r}{hint}; {advice}")


def _offering(entry: ModelEntry, target: _Target) -> _Target | str:
    """The same, if its provider offers what the mode says."""
    if is_offered(_operation_of(entry, target), target.provider):
        return target
    return f"the provider {target.provider.name} is not asked for {entry.info.mode}"


def _operation_of(entry: ModelEntry, target: _Target) -> common_pb2.Operation:
    return operation_of(entry.info.mode, entry.info.base_model or target.model, target.provider)


def _owner_of(entry: ModelEntry, model: str, prices: Callable[[], Prices]) -> _Target | str:
    """Whose a model is that is named without a provider: its address says so, or its name."""
    if entry.params.api_base:
        host = urlsplit(entry.params.api_base).hostname
        for provider in PROVIDERS.values():
            if provider.api_base and urlsplit(provider.api_base).hostname == host:
                return _Target(provider, model)
    owner = owner_of(model) or prices().provider_of(model)
    for provider in PROVIDERS.values():
        if owner and provider.priced_as == owner:
            return _Target(provider, model)
    if entry.params.api_base:
        # Whatever is there, it most likely speaks OpenAI's language.
        return _Target(PROVIDERS[_BY_ADDRESS_ALONE], model)
    if owner is None:
        advice = f"write PROVIDER/{model}, openai/{model} for one; docs/reference/providers.md lists the providers"
        raise _error(entry, "model", f"{model!r} does not say whose model it is; {advice}")
    return f"the provider {owner} is not served yet"


def _deployment(
    entry: ModelEntry, target: _Target, config: Config, environ: Mapping[str, str], prices: Callable[[], Prices]
) -> Deployment:
    params, info, provider = entry.params, entry.info, target.provider
    options = _options(entry, target, environ)
    api_base = params.api_base or _first_set(provider.api_base_variables, environ) or provider.api_base
    if not api_base and params.mock_response is None:
        raise _error(entry, "api_base", f"is missing: {provider.name} has no address of its own")
    try:
        api_base = filled_in(api_base, options)
        chat_url, auth = chat_address(provider, target.model, api_base, options)
    except KeyError as missing:
        if params.mock_response is None:
            raise _error(entry, missing.args[0], f"is missing: the address of {provider.name} needs it") from None
        chat_url, auth = "", provider.auth
    try:
        operation = _operation_of(entry, target)
        generates = operation == CHAT
        listed = None if states_price(entry.costs, generates=generates) else _listed(entry, target, prices)
        markup = markup_of(config.litellm_settings.markups, provider.name)
        price = price_from(entry.costs, listed, markup, generates=generates)
    except ValueError as error:
        raise ConfigError(entry.place, str(error)) from error
    timeout_seconds = params.timeout or config.router_settings.timeout or config.litellm_settings.request_timeout
    deployment = Deployment(
        id=info.id,
        group=entry.model_name,
        provider=provider.name,
        provider_model=provider.name_of(target.model),
        api_base=api_base.rstrip("/"),
        api_key=params.api_key or _first_set(provider.api_key_variables, environ),
        rates=price.rates if price else Rates(),
        ceiling_rates=price.ceiling_rates if price else Rates(),
        unpriced=price is None,
        # In LiteLLM's table `max_tokens` is an older word for the output's limit.
        max_output_tokens=info.max_output_tokens or info.max_tokens or output_limit(info.base_model or target.model),
        max_input_tokens=info.max_input_tokens or (listed.max_input_tokens if listed else 0),
        shows_all_output=shows_all_output(info.base_model or target.model),
        mock_response=params.mock_response,
        timeout_seconds=timeout_seconds,
        stream_timeout_seconds=params.stream_timeout or config.router_settings.stream_timeout or timeout_seconds,
        drop_params=config.litellm_settings.drop_params if params.drop_params is None else params.drop_params,
        additional_drop_params=params.additional_drop_params,
        access_groups=info.access_groups,
        allowed_openai_params=params.allowed_openai_params,
        defaults={name: value for name, value in params.defaults.items() if name not in READING_MEMBERS},
        extra_headers=params.extra_headers,
        extra_body=params.extra_body,
        operation=operation,
        wire=provider.wire_of(target.model),
        auth=auth,
        options=options,
        chat_url=chat_url,
        headers=_headers(provider, options),
        quirks=provider.quirks_of(*filter(None, (target.model, info.base_model)), api_base=api_base),
        weight=params.weight,
        rpm=params.rpm,
        tpm=params.tpm,
    )
    others = {
        operation: _other(deployment, operation, offer, target, entry) for operation, offer in offers(provider).items()
    }
    return replace(deployment, others=others)


def _other(
    chat: Deployment, operation: common_pb2.Operation, offer: Offer, target: _Target, entry: ModelEntry
) -> Deployment:
    """A deployment as an operation beside chat sees it."""
    return replace(
        chat,
        operation=operation,
        wire=offer.wire_of(target.model),
        chat_url=operation_address(
            READING_PATHS[operation], offer, target.provider, target.model, chat.api_base, chat.chat_url
        ),
        quirks=None if offer.quirks == NONE else offer.quirks,
        defaults={name: value for name, value in entry.params.defaults.items() if name in _READING_DEFAULTS},
    )


def _options(entry: ModelEntry, target: _Target, environ: Mapping[str, str]) -> dict[str, str]:
    """The provider's options, and its signer's, as far as anybody says: the entry, the model's name, the environment,
    or the row."""
    given = entry.params.options
    # Which signer it is may depend on the address, which may depend on options.
    options = {name: given[name] for names in SIGNER_OPTIONS.values() for name in names if given.get(name)}
    for name, option in target.provider.options.items():
        value = given.get(name) or option.stated_by(target.model)
        value = value or _first_set(option.variables, environ) or filled_in(option.default, options)
        if value:
            options[name] = value
    return options


def _headers(provider: Provider, options: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for name, value in provider.headers.items():
        with contextlib.suppress(KeyError):
            headers[name] = filled_in(value, options)
    return headers


def _first_set(variables: Iterable[str], environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in variables if environ.get(name)), "")


def _listed(entry: ModelEntry, target: _Target, prices: Callable[[], Prices]) -> ListPrice | None:
    """The list price of what an entry calls; `base_model` says what that is where the model's name does not."""
    base_model = entry.info.base_model or target.model
    owner = target.provider.priced_as
    prefix, slash, rest = base_model.partition("/")
    if entry.info.base_model and slash:
        owner, base_model = prefix, rest
    elif entry.info.base_model and not owner:
        owner = prices().provider_of(base_model) or ""
    return prices().find(owner, base_model) if owner else None


def _error(entry: ModelEntry, name: str, message: str) -> ConfigError:
    """An error about a member of `litellm_params`."""
    place = entry.place
    return ConfigError(Place(place.file, place.line, f"{place.key}.litellm_params.{name}"), message)
