"""The stream through kafka-python, a client in Python."""

from __future__ import annotations

from rolehost_kafka.kafka_python.client import KafkaPython

__all__ = ["KafkaPython"]
