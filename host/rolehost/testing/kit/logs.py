"""Log lines of a host of a test: through the standard library, where pytest looks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog


@contextmanager
def captured_logs() -> Iterator[None]:
    """Hand what the host logs to :mod:`logging` as long as the block lasts.

    pytest then shows it with a test that fails, and ``caplog`` has it. structlog's own default
    renders tracebacks as they are logged, which takes many times as long as the job that failed.
    Where somebody has configured structlog it is left as it is.
    """
    if structlog.is_configured():
        yield
        return
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _told],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.reset_defaults()


def _told(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Return the arguments of a call of the standard library's logger."""
    error = event.pop("exc_info", None)
    words = [str(event.pop("event", "")), *(f"{name}={value}" for name, value in event.items())]
    return (" ".join(words),), {"exc_info": error}
