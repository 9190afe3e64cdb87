"""The log: one JSON object a line, from the chosen level on, whole tracebacks and nothing else of the program."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.telemetry import create_log, create_registry, lead_logging_into


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """pytest has handlers of its own on the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    stream = io.BytesIO()
    create_log("info", stream).bind(role="edge").info("started", port=1, odd=frozenset())
    (event,) = lines(stream)
    assert event.pop("timestamp")
    assert event == {"event": "started", "level": "info", "role": "edge", "port": 1, "odd": []}


def test_events_below_the_level_are_not_written() -> None:
    stream = io.BytesIO()
    log = create_log("warning", stream)
    log.info("unheard")
    log.error("heard")
    assert [event["event"] for event in lines(stream)] == ["heard"]


def test_an_exception_is_logged_whole_but_without_the_values_it_met() -> None:
    stream = io.BytesIO()
    secret = "sk-" + "do-not-show"
    try:
        raise RuntimeError(f"about {len(secret)}")
    except RuntimeError:
        create_log("info", stream).exception("failed")
    (event,) = lines(stream)
    assert "RuntimeError: about 14" in str(event["exception"])
    assert secret not in stream.getvalue().decode()


def test_a_terminal_gets_text_without_the_values_an_exception_met() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    secret = "sk-" + "do-not-show"
    try:
        raise RuntimeError(f"about {len(secret)}")
    except RuntimeError:
        create_log("info", stream).exception("failed")
    assert "RuntimeError: about 14" in stream.getvalue().decode()
    assert secret not in stream.getvalue().decode()


@pytest.mark.usefixtures("restored_logging")
def test_warnings_of_libraries_become_events() -> None:
    stream = io.BytesIO()
    lead_logging_into(create_log("info", stream))
    logging.getLogger("asyncio").warning("slow %s", "callback")
    logging.getLogger("asyncio").info("unheard")
    (event,) = lines(stream)
    assert (event["event"], event["logger"], event["level"]) == ("slow callback", "asyncio", "warning")


def test_each_registry_is_its_own_and_has_the_process() -> None:
    first, second = create_registry(), create_registry()
    assert first is not second
    assert first.get_sample_value("process_open_fds") is not None
