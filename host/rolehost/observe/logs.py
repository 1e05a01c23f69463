"""Structured logs: structlog and the standard library share one writer, on standard error.

Standard output belongs to commands. One call writes and flushes a line, so lines of several
processes on one pipe do not mix. A role binds the id of its work (``request_id``, ``job_id``,
``event_id``) with :func:`structlog.contextvars.bind_contextvars`; each line of the work has it.

Log lines of libraries have SQL statements and names, but no values. Without this module, peewee
would log the parameters of each statement at level ``debug``, and the clients of Kafka, Redis and
Memcached their data. Dramatiq would log the arguments of messages at every level.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.typing import EventDict, WrappedLogger

from rolehost import joblog
from rolehost.failures import format_traceback
from rolehost.observe import lines
from rolehost.redaction import has_secrets, masked

if TYPE_CHECKING:
    from rolehost.deployment.model import LogSettings

#: Libraries that may only log warnings and errors: at ``info`` they log nothing that an operator
#: needs, and at ``debug`` they log requests, responses and keys.
QUIET_LIBRARIES = (
    "aiohttp",
    "asyncio",
    "confluent_kafka",
    "dramatiq",
    "httpcore",
    "httpx",
    "kafka",
    "pymemcache",
    "redis",
    "requests",
    "urllib3",
)

#: Integers with fewer bits are written in decimal; Python refuses to convert large integers.
_MOST_BITS = 10_000

#: Set by :func:`configure`.
_writer: _Writer | None = None


def configure(settings: LogSettings, *, stream: TextIO | None = None, **bound: Any) -> None:
    """Set up logging of this process; call it once, before the first line.

    ``bound`` are fields of every line: ``deployment``, ``role``, ``slot``.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    console = settings.format == "console" or (settings.format == "auto" and terminal)
    level = getattr(logging, settings.level.upper())
    global _writer
    _writer = writer = _Writer(stream, bound, level, console, terminal)
    structlog.configure(
        processors=[merge_contextvars, writer.render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Handler(writer)]
    root.setLevel(level)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def fast_logger(level: str, event: str) -> Callable[[dict[str, Any]], None] | None:
    """Return a fast function that writes an event, for example a line of the access log.

    The function takes the fields, and adds the bound ids. Return None if the level is off. PERF:
    the function costs half as much as structlog's processors. Before :func:`configure`, it uses
    structlog.
    """
    writer = _writer
    if writer is None:
        logger = structlog.get_logger()
        return lambda fields: getattr(logger, level)(event, **fields)
    if getattr(logging, level.upper()) < writer.level:
        return None
    common = {"timestamp": "", "level": level, "event": event, **writer.bound}

    def write(fields: dict[str, Any]) -> None:
        line = {**common, **get_contextvars(), **fields}
        line["timestamp"] = lines.timestamp(time.time())
        writer.write(writer.text(line))

    return write


@dataclass(eq=False, slots=True)
class _Writer:
    """Renders and writes lines; it is structlog's last processor and its logger."""

    stream: TextIO
    bound: dict[str, Any]
    level: int
    console: bool
    colour: bool
    encoder: msgspec.json.Encoder = field(
        default_factory=lambda: msgspec.json.Encoder(enc_hook=repr)
    )

    def render(self, _logger: WrappedLogger, method: str, fields: EventDict) -> str | bytes:
        """Turn structlog's event dictionary into a line."""
        line: dict[str, Any] = {
            "timestamp": lines.timestamp(time.time()),
            "level": "error" if method == "exception" else method,
            "event": fields.pop("event", ""),
            **self.bound,
        }
        if "exc_info" in fields:
            error = _exception_of(fields.pop("exc_info"))
            if error is not None:
                fields["exception"] = format_traceback(error)
        line.update(fields)
        if joblog.kept.get() is not None:
            joblog.keep(_as_console({key: line[key] for key in line if key not in self.bound}))
        return self.text(line)

    def text(self, line: dict[str, Any]) -> str | bytes:
        """Render all fields of a line in the format of the settings."""
        try:
            if self.console:
                return lines.as_console(line, colour=self.colour)
            return self.encoder.encode(line)
        except Exception:
            # The line has, for example, a lone surrogate, a key that is not text, an integer beyond
            # 64 bits, or an object whose repr() fails. This is slower, but no line is lost, and the
            # work gets no error.
            if self.console:
                return lines.as_console(_plain(line), colour=self.colour)
            return lines.as_json(_plain(line))

    def write(self, line: str | bytes) -> None:
        """Write one line; if the stream is closed or full, the line is lost without an error."""
        if has_secrets():
            line = masked(line if isinstance(line, str) else line.decode())
        data = line if isinstance(line, bytes) else line.encode(errors="backslashreplace")
        try:
            buffer = getattr(self.stream, "buffer", None)
            if buffer is None:
                self.stream.write(data.decode() + "\n")
                self.stream.flush()
            else:
                buffer.write(data + b"\n")
                buffer.flush()
        except (OSError, ValueError):
            return

    msg = debug = info = warning = error = critical = exception = write


class _Handler(logging.Handler):
    """Writes the records of the standard library, for example of gunicorn and Dramatiq."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record with the ids that are bound in this context."""
        try:
            fields: EventDict = {"event": _message(record), "logger": record.name}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            fields = merge_contextvars(None, "", fields)
            self.writer.write(self.writer.render(None, record.levelname.lower(), fields))
        except Exception:
            self.handleError(record)


def _message(record: logging.LogRecord) -> str:
    """Return the text of a record, without the parameters and arguments of peewee and Dramatiq."""
    if isinstance(record.msg, tuple) and record.name.partition(".")[0] == "peewee":
        return str(record.msg[0])
    args: Any = record.args
    if isinstance(args, tuple) and any(map(_is_dramatiq_message, args)):
        named = [f"{x.actor_name} {x.message_id}" if _is_dramatiq_message(x) else x for x in args]
        return str(record.msg) % tuple(named)
    return record.getMessage()


def _is_dramatiq_message(value: Any) -> bool:
    """Return whether a value is a Dramatiq message or its proxy, without importing Dramatiq."""
    return type(value).__module__.startswith("dramatiq") and hasattr(value, "message_id")


def _as_console(line: dict[str, Any]) -> str:
    try:
        return lines.as_console(line, colour=False)
    except Exception:  # as in _Writer.text
        return lines.as_console(_plain(line), colour=False)


def _plain(line: dict[str, Any]) -> dict[Any, Any]:
    return {_as_json_value(key): _as_json_value(value) for key, value in line.items()}


def _as_json_value(value: Any) -> Any:
    """Return a JSON value: the value itself, its text, or a note that it cannot be shown."""
    if value is None or isinstance(value, float):
        return value
    try:
        if isinstance(value, int):
            return value if value.bit_length() < _MOST_BITS else hex(value)
        return str(value) if isinstance(value, str) else repr(value)
    except Exception as error:  # raised by the object's repr()
        return f"({type(value).__name__}: cannot be shown: {type(error).__name__})"


def _exception_of(exc_info: Any) -> BaseException | None:
    """Return the error of structlog's ``exc_info``: an error, a tuple, or True."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None
