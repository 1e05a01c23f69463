"""What libraries write to the log: statements and names, and never the values that they work with.

At the level ``debug`` peewee writes each statement with its parameters, and clients of engines
what they send and receive. Dramatiq writes a message with its arguments at every level.
"""

from __future__ import annotations

import logging
from typing import Any

#: Libraries of which only warnings and errors are written: the rest is chatter to an operator at
#: ``info``, and at ``debug`` it holds requests, answers and keys.
QUIET = (
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


def quiet(level: int) -> None:
    """Let these libraries write warnings and what is worse; ``level`` is the least of the log."""
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def message_of(record: logging.LogRecord) -> str:
    """Return the text of a record of the standard library, without values."""
    if isinstance(record.msg, tuple) and record.name.partition(".")[0] == "peewee":
        return str(record.msg[0])
    if isinstance(record.args, tuple) and any(map(_is_message, record.args)):
        return str(record.msg) % tuple(map(_without_arguments, record.args))
    return record.getMessage()


def _without_arguments(value: Any) -> Any:
    return f"{value.actor_name} {value.message_id}" if _is_message(value) else value


def _is_message(value: Any) -> bool:
    """Whether it is a message of Dramatiq, or the proxy around one, which is not imported here."""
    return type(value).__module__.startswith("dramatiq") and hasattr(value, "message_id")
