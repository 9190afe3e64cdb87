"""`tollhouse check-config FILE`: whether a start could use a configuration, and what it would leave unused."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from services import startup
from services.config import Config


def check(config_file: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Print what would be served, and a line for all that would not be. The errors are those of a start."""
    config, settings = startup.read(config_file, environ)
    served, left_out = _catalog(config, {**environ, **config.environment_variables})
    print(f"{config_file}: {served} deployments of {len(config.model_list)} can be served")
    for line in [*left_out, *startup.without_effect(config, settings)]:
        print(line)


def _catalog(config: Config, environ: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """How many deployments the router would serve, and why not the others. Found by name, like all that is a role's."""
    load_prices = importlib.import_module("router.providers.prices").load_price_table
    prices = functools.cache(lambda: load_prices(datetime.now(UTC)))
    catalog = importlib.import_module("router.catalog").build(config, environ, prices)
    return sum(len(group) for group in catalog.groups.values()), catalog.left_out
