"""What processes cost: CPU time and memory, by the part they belong to."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

# By the beginning of a process's name; what is neither belongs to the gateway.
_SERVERS = {"postgres": "postgres", "valkey": "valkey"}


def parts(roots: Mapping[str, int]) -> dict[str, list[psutil.Process]]:
    """The processes under `roots` (name -> pid), by part: the name of their root, `postgres` or `valkey`."""
    found: dict[str, list[psutil.Process]] = {}
    for name, pid in roots.items():
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            server = next((part for start, part in _SERVERS.items() if process.name().startswith(start)), name)
            found.setdefault(server, []).append(process)
    return found


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """User and system time so far, by part. Steps of 10 ms: a run must be long enough for that not to matter."""
    return {name: sum(_cpu_seconds(process) for process in processes) for name, processes in parts(roots).items()}


def pss_megabytes(roots: Mapping[str, int]) -> dict[str, float]:
    """Memory by part, what is shared counted in proportion."""
    return {
        name: sum(process.memory_full_info().pss for process in processes) / 1e6
        for name, processes in parts(roots).items()
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    # PostgreSQL ends and starts workers: the postmaster keeps the time of those that have ended.
    ended = times.children_user + times.children_system if process.name().startswith("postgres") else 0.0
    return times.user + times.system + ended
