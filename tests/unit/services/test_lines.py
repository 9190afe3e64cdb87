"""Log lines: none is lost, their order stays, and what matters is not kept waiting."""

from __future__ import annotations

import asyncio
import io

from services.lines import GATHER_LINES, GATHER_SECONDS, LineOutput


async def test_lines_of_a_moment_are_written_together_and_in_order() -> None:
    stream = io.BytesIO()
    output = LineOutput(stream)
    output.info(b"1")
    output.debug(b"2")
    assert stream.getvalue() == b""
    await asyncio.sleep(5 * GATHER_SECONDS)
    assert stream.getvalue() == b"1\n2\n"
    output.info(b"3")
    await asyncio.sleep(5 * GATHER_SECONDS)
    assert stream.getvalue() == b"1\n2\n3\n"


async def test_a_warning_is_written_at_once_after_what_waited() -> None:
    stream = io.BytesIO()
    output = LineOutput(stream)
    output.info(b"1")
    output.warning(b"2")
    assert stream.getvalue() == b"1\n2\n"


async def test_no_more_than_so_many_wait() -> None:
    stream = io.BytesIO()
    output = LineOutput(stream)
    for number in range(GATHER_LINES):
        output.info(b"%d" % number)
    assert stream.getvalue().count(b"\n") == GATHER_LINES


def test_without_an_event_loop_nothing_waits() -> None:
    stream = io.BytesIO()
    LineOutput(stream).info(b"1")
    assert stream.getvalue() == b"1\n"
