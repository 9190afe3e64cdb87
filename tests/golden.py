"""What LiteLLM answered, as it was captured: shapes that answers here are held to. Used in place, never copied.

golden("spend_tags")     the body; the test is skipped where the captures are not there
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import pytest

FOLDER = "reference/litellm-golden"


class Golden(Protocol):
    """What the fixture `golden` gives."""

    def __call__(self, name: str, part: str = "body") -> Any:
        """A part (`body`, `headers`, `status`) of the captured response of this name."""


@pytest.fixture
def golden() -> Golden:
    """Reads captures below `TOLLHOUSE_SHARED`."""
    shared = os.environ.get("TOLLHOUSE_SHARED")
    if not shared:
        pytest.skip("TOLLHOUSE_SHARED does not say where the captures are")
    folder = Path(shared) / FOLDER

    def read(name: str, part: str = "body") -> Any:
        return json.loads((folder / f"{name}.json").read_text())["response"][part]

    return read


def members(value: Any) -> Any:
    """The shape of an answer: names of members, of a list its first element's; what stands there does not matter."""
    if isinstance(value, dict):
        return {name: members(each) for name, each in value.items()}
    if isinstance(value, list):
        return [members(value[0])] if value else []
    return ...
