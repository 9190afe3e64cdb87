"""A link: one long-lived stream of frames in each direction between two roles, shared by many calls.

`rpc.py` carries frames over gRPC, `inprocess.py` hands them over inside one process; both keep these promises, and
`tests/conformance/test_links.py` holds both to them:

- `send` never blocks. Frames arrive whole, once, in order, and those that were ready together arrive together.
- A frame handed to `send` is frozen: neither side changes it afterwards.
- A frame larger than MAX_FRAME_BYTES is the sender's error (ValueError) and harms nobody else.
- A peer that does not read makes the sender's backlog grow to MAX_BACKLOG_BYTES, then the link breaks; credit
  (`credit.py`) keeps calls far below that.
- When the link ends, both ends see LinkClosed, with the error that ended it, after every frame that had arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from services.errors import GatewayError, unavailable

# A frame travels in one batch, and no batch may grow so large that others wait long behind it.
MAX_FRAME_BYTES = 1024 * 1024 - 1024
MAX_BATCH_BYTES = 1024 * 1024

# The part of a body in one `data` frame: small enough that streams share a link fairly.
MAX_DATA_BYTES = 60 * 1024

# Twice what credit allows a whole link (16 MiB): only a peer that has stopped reading gets here.
MAX_BACKLOG_BYTES = 32 * 1024 * 1024

# Up to this many open calls, frames leave at once; above, a message a tick carries many (performance.md, rule 3).
FEW_CALLS = 8
TICK_SECONDS = 0.001

# How long a frame that is not urgent waits for company.
LAZY_SECONDS = 0.01

Out_contra = TypeVar("Out_contra", bound=Message, contravariant=True)
In_co = TypeVar("In_co", bound=Message, covariant=True)


class LinkClosed(Exception):
    """The link has ended. `error` is why; None when the peer ended it in order."""

    def __init__(self, error: GatewayError | None = None) -> None:
        super().__init__(error.message if error else "the peer ended the link")
        self.error = error

    def as_error(self) -> GatewayError:
        """For a caller whose call was on this link."""
        return self.error or unavailable("A part of the gateway has gone away; try again.")


class Link(Protocol[Out_contra, In_co]):
    """One end of a link."""

    # How many calls its user has open on it now. The user keeps it; the transport reads it to choose when to write.
    open_calls: int

    @property
    def closed(self) -> bool:
        """Whether the link has ended."""

    def send(self, frame: Out_contra, *, urgent: bool = True) -> None:
        """Queue one frame. LinkClosed when the link has ended; ValueError when the frame is too large.

        A frame that is not urgent lets up to LAZY_SECONDS pass for another to travel with.
        """

    async def receive(self) -> Sequence[In_co]:
        """The next frames, at least one. LinkClosed at the end."""

    async def close(self, error: GatewayError | None = None) -> None:
        """End the link. Frames already sent are delivered first when `error` is None."""
