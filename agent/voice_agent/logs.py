"""Logs as JSON lines that cannot carry what a caller or the model says.

The framework attaches whatever it has at hand to its records (`extra`) and exception texts quote requests,
which here are health data. So three things never get through: records below INFO (the framework's DEBUG
holds the transcript), extra fields that are not identifiers, and the text of exceptions (their types and
places do).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeAlias

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

# identifiers and figures of the framework's records that help an operator and say nothing about the call
FIELDS = (
    "agent_name", "attempt", "error", "id", "job_id", "load", "max_retry", "pid", "protocol", "reason",
    "retry_count", "room", "room_id", "rtc-version", "threshold", "timeout", "tts", "url", "version",
)  # fmt: skip


class _NoWords(logging.Filter):
    """What may pass: nothing below INFO, whichever level a logger was given, and of asyncio's complaints the head.

    asyncio reports a task's lost exception with the whole of it in the message.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "asyncio":
            record.msg, record.args = record.getMessage().split("\n", 1)[0], ()
        return record.levelno >= logging.INFO


def name_exception(error: BaseException) -> str:
    """The exception without its text: its type, and the HTTP status where it has one."""
    status = getattr(error, "status_code", getattr(error, "status", None))
    suffix = f" status={status}" if isinstance(status, int) else ""
    return type(error).__name__ + suffix


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class PrivateFormatter(logging.Formatter):
    """Formats a traceback without the exceptions' own texts."""

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 (the name is logging's)
        """Types and places, innermost cause last."""
        return "\n".join(
            "".join([f"{name_exception(error)}\n", *traceback.format_tb(error.__traceback__)]).rstrip()
            for error in _chain(ei[1])
        )


class JsonFormatter(PrivateFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's message, origin and the listed extra fields."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            if hasattr(record, name):
                value = getattr(record, name)
                line[name] = name_exception(value) if isinstance(value, BaseException) else value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=lambda value: type(value).__name__)


def configure() -> None:
    """Send everything from INFO up to stdout, in the agent's main process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_NoWords())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # the framework's health requests are not ours, and its HTTP access log would repeat our own every few
    # seconds
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # the length of everything that a caller says
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)


def configure_job(_process: object) -> None:
    """The same discipline in a job process, whose handler formats records before it sends them on."""
    root = logging.getLogger()
    root.setLevel(max(root.level, logging.INFO))
    for handler in root.handlers:
        handler.setFormatter(PrivateFormatter())
        handler.addFilter(_NoWords())
