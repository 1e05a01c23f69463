from __future__ import annotations

import gc
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

#: kafka-python leaves sockets of failed connections to the garbage collector.
LEFT = (
    "ignore:Exception ignored in. <(socket.socket|ssl.SSLSocket)"
    ":pytest.PytestUnraisableExceptionWarning"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what the driver leaves behind not count against a test of this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(LEFT))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Find leftovers of this test here, not in a later test."""
    yield
    gc.collect()


@pytest.fixture
def servers(kafka_url: str) -> tuple[str, ...]:
    """Brokers to test against."""
    return tuple(kafka_url.removeprefix("kafka://").strip("/").split(","))


@pytest.fixture
def client() -> str:
    """The client that is used; modules that test both say so."""
    return "kafka-python"


@pytest.fixture
def settings(servers: tuple[str, ...], client: str) -> KafkaSettings:
    """Topics and groups of this test alone, and short time-outs."""
    return KafkaSettings(
        client=client,
        servers=servers,
        prefix=f"test-{uuid.uuid4().hex[:12]}-",
        partitions=4,
        session_timeout=6.0,
        poll_interval=10.0,
        publish_timeout=10.0,
        request_timeout=5.0,
        connect_timeout=5.0,
    )


@pytest.fixture
def stream_of(client: str) -> Callable[..., KafkaStream]:
    """Streams of brokers of a test's own, with short time-outs."""

    def make(*servers: str, **more: object) -> KafkaStream:
        return KafkaStream(
            KafkaSettings(
                client=client,
                servers=servers,
                prefix=f"t{uuid.uuid4().hex[:8]}-",
                **{
                    "partitions": 2,
                    "publish_timeout": 3.0,
                    "connect_timeout": 3.0,
                    "request_timeout": 3.0,
                    "session_timeout": 6.0,
                    **more,
                },
            )
        )

    return make


@pytest.fixture
def free_port() -> int:
    """An unused port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
