"""Structured logs: structlog and the standard library through one writer, on stderr.

Standard output belongs to commands. A line is written with one call and flushed, so lines of
several processes on one pipe do not mix. Ids that belong to a piece of work (``request_id``,
``job_id``, ``event_id``) are bound with :func:`structlog.contextvars.bind_contextvars` by the
role that runs it; whatever is logged below carries them.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.typing import EventDict, WrappedLogger

from rolehost.delivery.failures import formatted
from rolehost.observe import libraries, lines
from rolehost.redaction import hides, masked

if TYPE_CHECKING:
    from rolehost.deployment.model import LogSettings

#: Integers of fewer bits are written in decimals; Python refuses to do that with large ones.
_MOST_BITS = 10_000

#: What :func:`configure` made; None before.
_writer: _Writer | None = None


def configure(settings: LogSettings, *, stream: TextIO | None = None, **bound: Any) -> None:
    """Set up logging of this process; call it once, before the first line.

    Args:
        settings: ``[log]`` of the deployment.
        stream: where lines go; None takes standard error.
        bound: fields that every line carries: ``deployment``, ``role``, ``slot``.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    console = settings.format == "console" or (settings.format == "auto" and terminal)
    level = getattr(logging, settings.level.upper())
    writer = _Writer(stream, bound, level, console=console, colour=terminal)
    global _writer
    _writer = writer
    structlog.configure(
        processors=[merge_contextvars, writer.render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=writer.logger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Handler(writer)]
    root.setLevel(level)
    libraries.quiet(level)
    logging.captureWarnings(True)


def often(level: str, event: str) -> Callable[[dict[str, Any]], None] | None:
    """Return what writes one kind of line that is written very often, the access log.

    PERF: half the cost of structlog's chain of processors; bound ids are merged all the same.

    Args:
        level: level of the line.
        event: its text.

    Returns:
        A function of the line's own fields; None when lines of this level are not written.
        Before :func:`configure`, one that goes through structlog as it is then.
    """
    writer = _writer
    if writer is None:
        logger = structlog.get_logger()
        return lambda fields: getattr(logger, level)(event, **fields)
    if getattr(logging, level.upper()) < writer.level:
        return None
    begin = {"timestamp": "", "level": level, "event": event, **writer.bound}

    def write(fields: dict[str, Any]) -> None:
        line = {**begin, **get_contextvars(), **fields}
        line["timestamp"] = lines.timestamp(time.time())
        writer.write(writer.text(line))

    return write


class _Writer:
    """Renders the fields of a line and writes it."""

    def __init__(
        self, stream: TextIO, bound: dict[str, Any], level: int, *, console: bool, colour: bool
    ) -> None:
        self.stream = stream
        self.bound = bound
        self.level = level
        self.console = console
        self.colour = colour
        self.encoder = msgspec.json.Encoder(enc_hook=repr)

    def logger(self, *_name: Any) -> _Logger:
        """Make what structlog calls at the end of its chain."""
        return _Logger(self)

    def render(self, _logger: WrappedLogger, method: str, fields: EventDict) -> str | bytes:
        """Turn structlog's event dictionary into a line; the last processor of its chain."""
        line: dict[str, Any] = {
            "timestamp": lines.timestamp(time.time()),
            "level": "error" if method == "exception" else method,
            "event": fields.pop("event", ""),
            **self.bound,
        }
        if "exc_info" in fields:
            error = _error(fields.pop("exc_info"))
            if error is not None:
                fields["exception"] = formatted(error)
        line.update(fields)
        return self.text(line)

    def text(self, line: dict[str, Any]) -> str | bytes:
        """Render complete fields in the chosen form."""
        try:
            if self.console:
                return lines.as_console(line, colour=self.colour)
            return self.encoder.encode(line)
        except Exception:
            # Lone surrogates, keys that are no text, integers beyond 64 bits, objects that
            # cannot be shown: slower, never lost. A line must not fail the work that it tells of.
            plain = {_shown(key): _shown(value) for key, value in line.items()}
            if self.console:
                return lines.as_console(plain, colour=self.colour)
            return lines.as_json(plain)

    def write(self, line: str | bytes) -> None:
        """Write one line; a stream that is closed or full loses it silently."""
        if hides():
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


class _Logger:
    """What structlog calls at the end: every level writes."""

    __slots__ = ("critical", "debug", "error", "exception", "info", "msg", "warning")

    def __init__(self, writer: _Writer) -> None:
        for name in self.__slots__:
            setattr(self, name, writer.write)


class _Handler(logging.Handler):
    """Brings the standard library's records (gunicorn, dramatiq, plugins) to the writer."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record with the ids that are bound where it was logged."""
        try:
            fields: EventDict = {"event": libraries.message_of(record), "logger": record.name}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            fields = merge_contextvars(None, "", fields)
            self.writer.write(self.writer.render(None, record.levelname.lower(), fields))
        except Exception:
            self.handleError(record)


def _shown(value: Any) -> Any:
    """Return what can be written as JSON: the value, its text, or that it has none."""
    if value is None or isinstance(value, float):
        return value
    try:
        if isinstance(value, int):
            return value if value.bit_length() < _MOST_BITS else hex(value)
        return str(value) if isinstance(value, str) else repr(value)
    except Exception as error:  # code of the object's own
        return f"({type(value).__name__}: cannot be shown: {type(error).__name__})"


def _error(given: Any) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None
