"""The stream through confluent-kafka, a client in C (librdkafka)."""

from __future__ import annotations

from rolehost_kafka.confluent.client import Confluent

__all__ = ["Confluent"]
