"""What is said of something that answers where a broker should be."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rolehost.api import StorageRefused, StorageUnavailable
from rolehost_kafka.diagnosis import diagnose
from rolehost_kafka.failures import unreachable
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that answers each connection in its way; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def old_broker(client: socket.socket) -> None:
    """Answer ApiVersions as Kafka 0.10 did, and nothing else."""
    client.recv(1000)
    body = struct.pack(">hi", 0, 2) + struct.pack(">hhhhhh", 18, 0, 0, 3, 0, 2)
    client.sendall(struct.pack(">ii", 4 + len(body), 1) + body)


def web_server(client: socket.socket) -> None:
    client.recv(1000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "tls", "words"),
    [
        (old_broker, False, "too old: expected Kafka 2.5 or newer"),
        (old_broker, True, "set tls = false"),
        (web_server, False, "does not answer as Kafka does"),
        (web_server, True, "TLS refused"),
        (lambda client: None, False, "does not answer as Kafka does"),
    ],
)
def test_what_is_no_fit_broker_is_refused_for_good(
    answer: Callable[[socket.socket], None], tls: bool, words: str
) -> None:
    with listening(answer) as server:
        error = unreachable(KafkaSettings(servers=(server,), tls=tls))
    assert type(error) is StorageRefused
    assert server in str(error)
    assert words in str(error)
    assert error.setting is not None
    assert error.setting.startswith("[kafka] ")
    assert "\n" not in str(error)


def test_one_server_that_may_come_is_worth_waiting_for(free_port: int) -> None:
    with listening(old_broker) as server:
        error = unreachable(KafkaSettings(servers=(server, f"127.0.0.1:{free_port}")))
    assert type(error) is StorageUnavailable
    assert "too old" in str(error)
    assert "connection refused" in str(error)


def test_brokers_that_are_too_old_are_refused_before_they_are_used() -> None:
    with listening(old_broker) as server:
        stream = KafkaStream(KafkaSettings(servers=(server,)))
        with pytest.raises(StorageRefused, match=r"\[kafka\] servers.*too old"):
            stream.verify([])
        stream.close()


def test_nothing_is_wrong_with_a_broker(servers: tuple[str, ...]) -> None:
    settings = KafkaSettings(servers=servers)
    assert not any(diagnose(settings, server).problem for server in settings.servers)
    stream = KafkaStream(settings)
    stream.verify([])
    stream.close()
