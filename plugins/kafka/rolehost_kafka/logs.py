"""The log lines of the clients."""

from __future__ import annotations

import logging

#: The loggers of kafka-python, and the one for librdkafka's lines.
_LOGGERS = ("kafka", "rolehost_kafka.librdkafka")


def silence_clients() -> None:
    """Let the clients log only if the root logger has the level ``debug``.

    Both log several errors for every attempt to connect, some every second while brokers are
    away. The errors that this plugin raises have the reason, and the host logs them once.
    """
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
