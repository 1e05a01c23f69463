"""Send the log of a test's host to :mod:`logging`, where pytest captures it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog


@contextmanager
def captured_logs() -> Iterator[None]:
    """Send the host's log to :mod:`logging` within the block.

    pytest then shows the log with a failed test, and ``caplog`` contains it. structlog's default
    renders each traceback at once, which takes much longer than the failed job itself. If
    structlog is configured, and not to print to the console, its configuration stays as it is.
    """
    before = structlog.get_config()
    configured = structlog.is_configured()
    if configured and not _prints(before):
        yield
        return
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _to_logging],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _prints(config: Mapping[str, Any]) -> bool:
    """Return whether the configuration prints to the console, as structlog's default does.

    After ``structlog.testing.capture_logs`` the default counts as configured.
    """
    return isinstance(config["logger_factory"], structlog.PrintLoggerFactory) and isinstance(
        config["processors"][-1], structlog.dev.ConsoleRenderer
    )


def _to_logging(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Return the arguments for a call of the standard library's logger."""
    error = event.pop("exc_info", None)
    words = [str(event.pop("event", "")), *(f"{name}={value}" for name, value in event.items())]
    return (" ".join(words),), {"exc_info": error}
