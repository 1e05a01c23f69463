"""The options of librdkafka's clients, from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rolehost_kafka.members import member_name
from rolehost_kafka.settings import KafkaSettings, milliseconds, reveal

#: Gets librdkafka's log lines, which would go to standard error.
_log = logging.getLogger("rolehost_kafka.librdkafka")

#: Maximum kilobytes, and maximum records of a partition, that are prefetched.
_AHEAD_KBYTES, _AHEAD_RECORDS = 16_384, 10_000
#: Milliseconds after which librdkafka checks whether a full prefetch queue has room again.
_FETCH_BACKOFF = 20


def common(settings: KafkaSettings, on_error: Callable[[Any], None]) -> dict[str, Any]:
    """Return the options of every client: brokers, time-outs, security.

    Args:
        settings: the plugin's settings.
        on_error: gets errors that belong to no call.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.servers),
        "client.id": settings.client_id,
        "error_cb": on_error,
        "logger": _log,
        "socket.connection.setup.timeout.ms": max(1000, milliseconds(settings.connect_timeout)),
        # At most half a second between attempts, so an outage ends when the broker is back.
        "reconnect.backoff.max.ms": 500,
        "security.protocol": settings.security_protocol,
    }
    if settings.sasl_mechanism:
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": reveal(settings.sasl_password) or "",
        }
    if settings.tls:
        options["ssl.endpoint.identification.algorithm"] = (
            "https" if settings.tls_verify_hostname else "none"
        )
        key = settings.tls_key or settings.tls_certificate
        given = {
            "ssl.ca.location": settings.tls_ca,
            "ssl.certificate.location": settings.tls_certificate,
            "ssl.key.location": key,
            "ssl.key.password": reveal(settings.tls_key_password),
        }
        options |= {name: str(value) for name, value in given.items() if value is not None}
    return options


def administration(settings: KafkaSettings, on_error: Callable[[Any], None]) -> dict[str, Any]:
    """Return the options of the client that asks about topics and groups."""
    return common(settings, on_error) | {
        "socket.timeout.ms": milliseconds(settings.request_timeout),
    }


def producer(settings: KafkaSettings, on_error: Callable[[Any], None]) -> dict[str, Any]:
    """Return the options of the producer: idempotent, confirmed by all replicas in sync."""
    timeout = milliseconds(settings.publish_timeout)
    linger = min(milliseconds(settings.linger), timeout // 2)
    return common(settings, on_error) | {
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": settings.compression,
        "linger.ms": linger,
        "batch.size": max(1, settings.batch_bytes),
        "message.max.bytes": max(1000, settings.max_message),
        "delivery.timeout.ms": timeout,
        "request.timeout.ms": min(milliseconds(settings.request_timeout), timeout),
        # A key goes to the same partition as with Java's clients and kafka-python.
        "partitioner": "murmur2_random",
        "allow.auto.create.topics": settings.topics == "none",
    }


def consumer(
    settings: KafkaSettings, group: str, on_error: Callable[[Any], None]
) -> dict[str, Any]:
    """Return the options of a consumer without automatic commits."""
    session = milliseconds(settings.session_timeout)
    return common(settings, on_error) | {
        "client.id": member_name(settings.client_id),
        "group.id": group,
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # Report the end of a partition, after markers of transactions.
        "enable.partition.eof": True,
        # Fetches wait for half a second, and librdkafka needs a second more.
        "socket.timeout.ms": max(2000, milliseconds(settings.request_timeout)),
        "session.timeout.ms": session,
        "heartbeat.interval.ms": max(1, min(3000, session // 10)),
        "max.poll.interval.ms": max(milliseconds(settings.poll_interval), session),
        "fetch.message.max.bytes": max(1000, settings.max_message),
        "queued.max.messages.kbytes": _AHEAD_KBYTES,
        "queued.min.messages": _AHEAD_RECORDS,
        # By default librdkafka waits a second when the prefetch queue is full; the queue would
        # run empty meanwhile.
        "fetch.queue.backoff.ms": _FETCH_BACKOFF,
        "allow.auto.create.topics": settings.topics == "none",
    }
