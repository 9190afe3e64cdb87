"""The router's outbox: what a dispatch came to, on disk before its caller has the end of the answer.

Append-only segment files in a folder of this process's own, `DATA/outbox/<id>/`. It survives a kill of the process,
not a loss of power: `write()` hands records to the kernel, and nothing on the call path waits for the disk.

    record.py      the form of a segment file (pure)
    segment.py     a segment of this process's own, and writing and reading it
    tail.py        the youngest entries, in memory (pure)
    folder.py      a folder and its lock
    journal.py     the writing side: group commit, segments made and deleted
    outbox.py      `Outbox`: records in, entries out to each consumer
    adoption.py    `Adoption`: takes over the folders of processes that are gone
"""

from __future__ import annotations

from router.outbox.adoption import Adoption
from router.outbox.outbox import CONSUMERS, Outbox

__all__ = ["CONSUMERS", "Adoption", "Outbox"]
