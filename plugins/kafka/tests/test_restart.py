from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream
from rolehost_testing.conformance import StreamRestartConformance


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server("kafka")


def settings(url: str, client: str) -> KafkaSettings:
    return KafkaSettings(
        servers=(url.removeprefix("kafka://"),),
        client=client,
        prefix=f"test-{uuid.uuid4().hex[:12]}-",
        partitions=4,
        session_timeout=6.0,
        publish_timeout=3.0,
        request_timeout=2.0,
        connect_timeout=2.0,
    )


class TestKafkaPythonRestart(StreamRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, server) -> Callable[[], KafkaStream]:
        made = settings(server.url, "kafka-python")
        return lambda: KafkaStream(made)


class TestConfluentRestart(StreamRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, server) -> Callable[[], KafkaStream]:
        made = settings(server.url, "confluent")
        return lambda: KafkaStream(made)
