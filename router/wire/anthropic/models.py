"""What versions of Claude take and do not, by the model's name.

From Anthropic's documentation as of late 2026: the pages of each generation, "Structured outputs", "Effort",
"Extended thinking". A model whose name tells no version is taken for one that takes what most do.
"""

from __future__ import annotations

import re

Version = tuple[int, int]

# `claude-3-7-sonnet`, `claude-sonnet-4-5`, `claude-opus-5`; a date is no minor version.
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")

_FIRST_THAT_THINKS: Version = (3, 7)
_FIRST_WITH_ONE_SAMPLER: Version = (4, 1)
_FIRST_WITH_SCHEMAS: Version = (4, 1)
_FIRST_ADAPTIVE: Version = (4, 6)
_FIRST_WITHOUT_SAMPLING: Version = (4, 7)
_FIRST_WITH_XHIGH: Version = (4, 7)
# What a model without a version is taken for.
_UNTOLD: Version = (4, 6)


def can_think(model: str) -> bool:
    """Whether it can be told to think."""
    return _version_of(model) >= _FIRST_THAT_THINKS


def thinks_adaptively(model: str) -> bool:
    """Whether it chooses by itself how much it thinks, guided by an effort, and need not be given a budget."""
    return _version_of(model) >= _FIRST_ADAPTIVE


def knows_xhigh(model: str) -> bool:
    """Whether `xhigh` is one of its efforts."""
    return _version_of(model) >= _FIRST_WITH_XHIGH or not _VERSION.search(model.lower())


def takes_schemas(model: str) -> bool:
    """Whether an answer, or the arguments of a call, can be held to a schema."""
    return _version_of(model) >= _FIRST_WITH_SCHEMAS


def takes_sampling(model: str) -> bool:
    """Whether it can be told how to choose its words."""
    return _version_of(model) < _FIRST_WITHOUT_SAMPLING


def takes_one_sampler(model: str) -> bool:
    """Whether it refuses `temperature` and `top_p` together."""
    return _version_of(model) >= _FIRST_WITH_ONE_SAMPLER and _VERSION.search(model.lower()) is not None


def _version_of(model: str) -> Version:
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else _UNTOLD
