"""The cases that stand beside the tests, written from the providers' documentation, as parameters of a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def cases(folder: str) -> list[Any]:
    """The cases in a folder of JSON files, such as "cohere/requests": a file is one, or a list of some with names."""
    found = [
        pytest.param(case, id=name)
        for path in sorted((Path(__file__).parent / folder).iterdir())
        for name, case in _cases_in(path)
    ]
    assert found
    return found


def streams(folder: str) -> list[Any]:
    """The bytes of each file of a folder, under the file's name."""
    return [
        pytest.param(path.read_bytes(), id=path.name) for path in sorted((Path(__file__).parent / folder).iterdir())
    ]


def _cases_in(path: Path) -> list[tuple[str, Any]]:
    value = json.loads(path.read_text())
    if isinstance(value, list):
        return [(f"{path.stem}: {case['name']}", case) for case in value]
    return [(path.stem, value)]
