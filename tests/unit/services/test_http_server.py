"""What is corked leaves in one piece, and nothing that was held is lost."""

from __future__ import annotations

import asyncio

from services.http_server import CorkedTransport


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.writes.append(data)

    def is_closing(self) -> bool:
        return bool(self.writes) and self.writes[-1] == b"closed"

    def close(self) -> None:
        self.writes.append(b"closed")


def test_what_is_written_while_corked_leaves_in_one_piece() -> None:
    wire = Wire()
    transport = CorkedTransport(wire)
    transport.write(b"a")
    transport.cork()
    transport.write(b"b")
    transport.write(b"c")
    assert wire.writes == [b"a"]
    transport.uncork()
    transport.uncork()
    transport.write(b"d")
    assert wire.writes == [b"a", b"bc", b"d"]


def test_closing_loses_nothing_that_was_held() -> None:
    wire = Wire()
    transport = CorkedTransport(wire)
    transport.cork()
    transport.write(b"a")
    transport.close()
    assert wire.writes == [b"a", b"closed"]
    assert transport.is_closing()


def test_everything_else_is_the_transports_own() -> None:
    assert CorkedTransport(Wire()).get_extra_info("peername") == ("127.0.0.1", 1)
