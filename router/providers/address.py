"""Where a deployment is asked for an operation: its provider's row and its `api_base` as one address. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from router.providers.provider import Offer, Provider, filled_in

# The end of a path that names an operation; an address with it needs no more.
_OPERATION = "/chat/completions"


def chat_address(provider: Provider, model: str, api_base: str, options: Mapping[str, str]) -> tuple[str, str]:
    """The URL, and where the key goes.

    model: as the configuration names it. api_base: with its options in place. KeyError names an option that the path
    needs and nobody gives.
    """
    base, _, query = api_base.partition("?")
    base = base.rstrip("/")
    path, auth, groups = provider.path, provider.auth, dict[str, str]()
    for surface in provider.surfaces:
        fits = re.fullmatch(surface.model, model)
        version = options.get("api_version", "")
        if fits and re.search(surface.base, base) and re.fullmatch(surface.api_version, version):
            path, auth, groups = surface.path, surface.auth or provider.auth, fits.groupdict()
            break
    in_path = {name: quote(value, safe="@:") for name, value in {"model": provider.name_of(model), **groups}.items()}
    path, _, own_query = filled_in(path, {**options, **in_path}).partition("?")
    if "://" in path:
        base = ""
    elif base.endswith(_OPERATION):
        # A whole address. What it asks for already, it asks for once.
        path = ""
        own_query = "" if query else own_query
    queries = "&".join(filter(None, (query, own_query)))
    return f"{base}{path}?{queries}" if queries else f"{base}{path}", auth


def operation_address(
    operation: str, offer: Offer, provider: Provider, model: str, api_base: str, chat_url: str
) -> str:
    """The URL of another operation, by the name that ends its path: `/embeddings`.

    chat_url: what `chat_address` gives. An `api_base` that ends with the name is a whole address.
    """
    base, _, query = api_base.partition("?")
    base = base.rstrip("/")
    if base.endswith(operation):
        return api_base
    if not offer.path:
        return chat_url.replace(_OPERATION, operation, 1)
    base = base.removesuffix(_OPERATION)
    path = filled_in(offer.path, {"model": quote(provider.name_of(model), safe="@:/")})
    if re.match(r"/v\d+/", path):
        # A version stands in an address once.
        base = re.sub(r"/v\d+$", "", base)
    return f"{base}{path}?{query}" if query else f"{base}{path}"
