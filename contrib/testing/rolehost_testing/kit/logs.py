"""Log lines of a host of a test: through the standard library, where pytest looks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
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
    before = structlog.get_config()
    configured = structlog.is_configured()
    if configured and not _prints(before):
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
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _prints(config: Mapping[str, Any]) -> bool:
    """Whether it is what structlog does by default, which ``capture_logs`` leaves as configured."""
    return isinstance(config["logger_factory"], structlog.PrintLoggerFactory) and isinstance(
        config["processors"][-1], structlog.dev.ConsoleRenderer
    )


def _told(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Return the arguments of a call of the standard library's logger."""
    error = event.pop("exc_info", None)
    words = [str(event.pop("event", "")), *(f"{name}={value}" for name, value in event.items())]
    return (" ".join(words),), {"exc_info": error}
