"""What the clients write to logs by themselves."""

from __future__ import annotations

import logging

#: Loggers of kafka-python, and where librdkafka's lines go.
_LOGGERS = ("kafka", "rolehost_kafka.librdkafka")


def quieten() -> None:
    """Let the clients write only where the root logger lets ``debug`` through.

    Both write several lines, as errors, for every attempt to connect, some each second while
    brokers are away. What is wrong is in the errors that this plugin raises, and whoever waits
    tells it once.
    """
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
