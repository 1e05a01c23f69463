"""Apache Kafka as the stream of a deployment."""

from __future__ import annotations
