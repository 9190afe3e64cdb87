"""Logs and the registry of metrics, made once in the composition root and handed in.

Logs go to stderr, one event a line: JSON, or for a terminal in colour. Nothing is configured globally but Python's own
`logging`, whose warnings (asyncio, gRPC, libraries) are led into the same stream.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, BinaryIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from services.lines import LineOutput

# What a value that JSON does not know is written as.
_encoder = msgspec.json.Encoder(enc_hook=repr)


def create_log(level: str, stream: BinaryIO | None = None) -> FilteringBoundLogger:
    """A log that writes events of `level` (debug, info, warning, error) and above to `stream` (default: stderr)."""
    output = stream or sys.stderr.buffer
    number = logging.getLevelNamesMapping()[level.upper()]
    log: FilteringBoundLogger = structlog.wrap_logger(
        LineOutput(output),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_for_terminal() if output.isatty() else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return log


def lead_logging_into(log: FilteringBoundLogger) -> None:
    """What libraries say through Python's `logging`, from warning on, becomes events of `log`."""
    logging.basicConfig(level=logging.WARNING, handlers=[_LoggingHandler(log)], force=True)


def create_registry() -> CollectorRegistry:
    """The process's metrics, with those of the process itself (CPU, memory, descriptors)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, _to_json]


def _for_terminal() -> list[Processor]:
    # The plain traceback: others print local variables, and those hold keys.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [console, _to_bytes]


def _to_json(_log: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return _encoder.encode(event)


def _to_bytes(_log: WrappedLogger, _method: str, text: Any) -> bytes:
    return str(text).encode()


class _LoggingHandler(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
