"""The bench of the wires measures all of them, and nothing that is not right."""

from __future__ import annotations

import pytest

from bench import wires
from router.wire import WIRES


def test_every_wire_is_measured() -> None:
    assert wires.TOLD.keys() == WIRES.keys()


@pytest.mark.parametrize("name", wires.TOLD)
def test_what_comes_out_of_a_wire_is_what_was_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "ROUNDS", 1)
    assert all(microseconds > 0 for microseconds in wires.measure(name))


def test_a_wire_that_says_something_else_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "TEXT", "something else")
    monkeypatch.setitem(wires.TOLD, "ollama", lambda: told)
    told = wires.Told("example", {"message": {"content": "words"}, "done": True, "done_reason": "stop"}, [])
    with pytest.raises(AssertionError):
        wires.measure("ollama")
