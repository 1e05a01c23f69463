"""The settings section ``[kafka]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta
from rolehost.api import Secret, Settings

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class KafkaSettings(Settings, frozen=True):
    """``[kafka]``; all deployments of a fleet need the same ``prefix`` and ``topics``.

    Attributes:
        client: the driver. ``kafka-python``, the default, is written in Python. ``confluent``
            is the C library librdkafka and needs the extra ``rolehost-kafka[confluent]``.
            Topics, groups and offsets are the same with both.
        servers: the first brokers to ask, as ``host:port``; they name the others.
        client_id: name of this client in the brokers' logs and quotas. Members of groups add
            their machine and process, so that a killed member can be recognised.
        prefix: prefix of the names of topics and groups in Kafka, so that several fleets may
            share a cluster; plugins never see it.
        topics: ``create-if-missing`` creates a topic when it is first used, ``verify`` refuses
            a missing one, ``none`` leaves it to the brokers.
        partitions: number of partitions of a topic that is created here.
        replication: replication factor of a topic that is created here; None is the brokers'
            default.
        compression: compression of batches; all but ``none`` and ``gzip`` need an extra of the
            same name, for example ``rolehost-kafka[zstd]``.
        linger: seconds that a batch may wait for more records. ``publish`` does not wait for it,
            because it flushes.
        batch_bytes: maximum bytes of a batch.
        max_message: maximum bytes of a record with key and headers; the brokers'
            ``message.max.bytes`` must allow it.
        publish_timeout: seconds within which brokers must confirm published records. Keep it well
            below ``[delivery] lease``, because the relay holds a lease while it publishes.
        connect_timeout: timeout of the first connection, in seconds.
        request_timeout: timeout of a request to a broker, in seconds; at least 1.
        session_timeout: seconds without a heartbeat after which the brokers assign a member's
            partitions to others; within the brokers' ``group.min.session.timeout.ms`` (6 s)
            and ``group.max.session.timeout.ms``.
        poll_interval: seconds without a poll after which a member leaves its group.
        sasl_mechanism: the login mechanism; None connects without login.
        sasl_username: the user name.
        sasl_password: the password.
        tls: whether to encrypt connections.
        tls_ca: PEM file of the trusted authorities; None uses those of the system.
        tls_certificate: PEM file of the client's certificate.
        tls_key: PEM file of the certificate's key; None if ``tls_certificate`` contains the key.
        tls_key_password: password of the key.
        tls_verify_hostname: whether a broker's certificate must name its host.
    """

    client: Literal["kafka-python", "confluent"] = "kafka-python"
    servers: Annotated[tuple[str, ...], Meta(min_length=1)] = ("127.0.0.1:9092",)
    client_id: str = "rolehost"
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    topics: Literal["create-if-missing", "verify", "none"] = "create-if-missing"
    partitions: Count = 12
    replication: Count | None = None
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    linger: Annotated[float, Meta(ge=0)] = 0.005
    batch_bytes: Count = 65_536
    max_message: Count = 1_048_576
    publish_timeout: Seconds = 10.0
    connect_timeout: Seconds = 10.0
    request_timeout: Annotated[float, Meta(ge=1)] = 10.0
    session_timeout: Seconds = 10.0
    poll_interval: Seconds = 300.0
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str = ""
    sasl_password: Secret | None = None
    tls: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_key_password: Secret | None = None
    tls_verify_hostname: bool = True

    @property
    def security_protocol(self) -> str:
        """Kafka's name for login and encryption together."""
        login = "SASL_" if self.sasl_mechanism else ""
        return login + ("SSL" if self.tls else "PLAINTEXT")


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least 1 for seconds above 0."""
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def reveal(secret: Secret | None) -> str | None:
    """Return the text of a secret; None stays None."""
    return None if secret is None else secret.reveal()
