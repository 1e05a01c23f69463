"""The plugin ``kafka``: offers a stream."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from rolehost.api import (
    PLUGIN_API,
    Backend,
    DeclareContext,
    FleetFacts,
    PluginInfo,
    Stream,
    hookimpl,
)

from rolehost_kafka import abilities
from rolehost_kafka.settings import KafkaSettings

#: The name of this backend in a deployment: ``[storage] stream = "kafka"``.
NAME = "kafka"

#: The module that each compression needs.
_CODECS = {"lz4": "lz4", "snappy": "snappy", "zstd": "zstandard"}


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(api=PLUGIN_API, summary="Apache Kafka as the stream", settings=KafkaSettings)


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the stream; the driver is imported when the stream is created."""
    settings: KafkaSettings = context.settings

    def stream() -> Stream:
        from rolehost_kafka.stream import KafkaStream

        return KafkaStream(settings)

    return [
        Backend(
            kind="stream",
            name=NAME,
            factory=stream,
            capabilities=abilities.STREAM,
            unavailable=_missing(settings),
            fleet=FleetFacts(
                identity=_identity(settings),
                poll_interval=settings.poll_interval,
                publish_timeout=settings.publish_timeout,
                # The owner of the topics decides how many partitions they have.
                partitions=settings.partitions if settings.topics == "create-if-missing" else None,
                protocol="kafka",
                prefix=settings.prefix,
            ),
        )
    ]


def _identity(settings: KafkaSettings) -> str:
    """Return the brokers and the prefix, which are the same in all deployments of a fleet."""
    prefix = f" {settings.prefix}" if settings.prefix else ""
    return f"{','.join(sorted(settings.servers))}{prefix}"


def _missing(settings: KafkaSettings) -> str:
    """Return how to install a missing module; empty if none is missing. Imports nothing."""
    if settings.client == "confluent":
        # The wheels of confluent-kafka have every compression.
        if find_spec("confluent_kafka") is None:
            return "[kafka] client = \"confluent\" needs: pip install 'rolehost-kafka[confluent]'"
        return ""
    if find_spec("kafka") is None:
        return "kafka-python is not installed: pip install 'kafka-python>=3.0.9,<3.1'"
    codec = _CODECS.get(settings.compression)
    if codec is not None and find_spec(codec) is None:
        extra = f"rolehost-kafka[{settings.compression}]"
        return f"[kafka] compression = \"{settings.compression}\" needs: pip install '{extra}'"
    return ""
