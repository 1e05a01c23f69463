"""The options of kafka-python's clients, from the settings."""

from __future__ import annotations

from typing import Any

from rolehost_kafka.members import member_name
from rolehost_kafka.settings import KafkaSettings, milliseconds, reveal


def common(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of every client: brokers, time-outs, security."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.servers),
        "client_id": settings.client_id,
        "bootstrap_timeout_ms": milliseconds(settings.connect_timeout),
        # At most half a second between attempts, so an outage ends when the broker is back.
        "reconnect_backoff_max_ms": 500,
        "security_protocol": settings.security_protocol,
    }
    if settings.sasl_mechanism:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": reveal(settings.sasl_password),
        }
    if settings.tls:
        options |= {
            "ssl_check_hostname": settings.tls_verify_hostname,
            "ssl_cafile": _text(settings.tls_ca),
            "ssl_certfile": _text(settings.tls_certificate),
            "ssl_keyfile": _text(settings.tls_key),
            "ssl_password": reveal(settings.tls_key_password),
        }
    return options


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def administration(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of the client that asks about topics and groups."""
    return common(settings) | {"request_timeout_ms": milliseconds(settings.request_timeout)}


def producer(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of the producer: idempotent, confirmed by all replicas in sync."""
    timeout = milliseconds(settings.publish_timeout)
    linger = min(milliseconds(settings.linger), timeout // 2)
    return common(settings) | {
        "metrics_enabled": False,
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None if settings.compression == "none" else settings.compression,
        "linger_ms": linger,
        "batch_size": settings.batch_bytes,
        "max_request_size": settings.max_message,
        "delivery_timeout_ms": timeout,
        "request_timeout_ms": min(milliseconds(settings.request_timeout), timeout - linger),
        "max_block_ms": timeout,
        "allow_auto_create_topics": settings.topics == "none",
    }


def consumer(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the options of a consumer; there are no deserializers.

    If a deserializer raises, the next poll of kafka-python loops for ever. The host decodes
    values after the poll.
    """
    session = milliseconds(settings.session_timeout)
    return common(settings) | {
        "client_id": member_name(settings.client_id),
        "metrics_enabled": False,
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "session_timeout_ms": session,
        "heartbeat_interval_ms": max(1, min(3000, session // 10)),
        "max_poll_interval_ms": max(milliseconds(settings.poll_interval), session),
        "request_timeout_ms": milliseconds(settings.request_timeout),
        "max_partition_fetch_bytes": settings.max_message,
        "allow_auto_create_topics": settings.topics == "none",
    }
