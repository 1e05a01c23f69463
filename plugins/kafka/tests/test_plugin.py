from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rolehost.api import (
    DeclareContext,
    Record,
    Secret,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)
from rolehost_kafka import plugin
from rolehost_kafka.kafka_python import options
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream


def declared(settings: KafkaSettings):
    context = DeclareContext(plugin="kafka", settings=settings, deployment="test")
    (backend,) = plugin.rolehost_backends(context)
    return backend


def test_it_offers_a_stream_that_declares_what_it_can_do() -> None:
    backend = declared(KafkaSettings())
    made = backend.factory()
    assert (backend.kind, backend.unavailable) == ("stream", "")
    assert made.capabilities == backend.capabilities
    made.close()
    made.close()


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys; from rolehost_kafka import plugin; from rolehost.api import DeclareContext;"
        "settings = plugin.rolehost_plugin().settings();"
        "context = DeclareContext(plugin='kafka', settings=settings, deployment='test');"
        "plugin.rolehost_backends(context); assert 'kafka' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_a_missing_driver_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    assert "pip install 'kafka-python" in declared(KafkaSettings()).unavailable


def test_a_compression_that_is_not_installed_names_setting_and_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None if name == "zstandard" else name)
    unavailable = declared(KafkaSettings(compression="zstd")).unavailable
    assert '[kafka] compression = "zstd"' in unavailable
    assert "rolehost-kafka[zstd]" in unavailable


def test_a_client_that_is_not_installed_names_setting_and_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    unavailable = declared(KafkaSettings(client="confluent")).unavailable
    assert '[kafka] client = "confluent"' in unavailable
    assert "rolehost-kafka[confluent]" in unavailable


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_making_a_stream_starts_no_thread_so_that_it_may_be_made_before_a_fork(
    client: str,
) -> None:
    before = threading.enumerate()
    stream = KafkaStream(KafkaSettings(client=client))
    stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=lambda _: None)
    assert threading.enumerate() == before
    stream.close()


def test_consumers_never_commit_by_themselves_and_have_no_deserializers() -> None:
    chosen = options.consumer(KafkaSettings(), "group")
    assert chosen["enable_auto_commit"] is False
    assert chosen["auto_offset_reset"] == "earliest"
    assert chosen["isolation_level"] == "read_committed"
    assert not [name for name in chosen if "deserializer" in name]


def test_the_producer_is_idempotent_and_confirmed_by_all() -> None:
    chosen = options.producer(KafkaSettings(compression="gzip"))
    assert (chosen["enable_idempotence"], chosen["acks"]) == (True, "all")
    assert chosen["compression_type"] == "gzip"


@pytest.mark.parametrize(
    ("mechanism", "tls", "protocol"),
    [
        (None, False, "PLAINTEXT"),
        (None, True, "SSL"),
        ("PLAIN", False, "SASL_PLAINTEXT"),
        ("SCRAM-SHA-512", True, "SASL_SSL"),
    ],
)
def test_login_and_encryption_make_the_protocol(mechanism, tls, protocol) -> None:
    settings = KafkaSettings(
        sasl_mechanism=mechanism, sasl_username="u", sasl_password=Secret("p"), tls=tls
    )
    chosen = options.common(settings)
    assert chosen["security_protocol"] == protocol
    assert chosen.get("sasl_plain_password") == ("p" if mechanism else None)


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


def refusal(kind: type[StorageError] = StorageUnavailable, **settings: object) -> str:
    """Return the line that a stream with these settings ends with."""
    stream = KafkaStream(KafkaSettings(connect_timeout=1.0, **settings))
    try:
        with pytest.raises(kind) as caught:
            stream.ping()
    finally:
        stream.close()
    return str(caught.value)


def test_a_host_that_does_not_exist_is_named_with_its_setting(client: str) -> None:
    line = refusal(client=client, servers=("no-such-host.invalid:9092",))
    assert line == (
        "kafka: [kafka] servers: no broker can be used: no-such-host.invalid:9092: no such host,"
        " or not yet"
    )


def test_a_port_where_nobody_listens_is_named_with_its_setting(free_port: int, client: str) -> None:
    line = refusal(client=client, servers=(f"127.0.0.1:{free_port}",))
    assert line.startswith(f"kafka: [kafka] servers: no broker can be used: 127.0.0.1:{free_port}")
    assert line.endswith("connection refused")


def test_a_certificate_file_that_is_missing_is_told(client: str) -> None:
    line = refusal(
        StorageRefused,
        client=client,
        servers=("127.0.0.1:1",),
        tls=True,
        tls_ca=Path("/nowhere/ca.pem"),
    )
    assert line == "kafka: [kafka] tls_ca: there is no file /nowhere/ca.pem"


def test_publishing_without_brokers_says_the_same(free_port: int, client: str) -> None:
    stream = KafkaStream(
        KafkaSettings(client=client, servers=(f"127.0.0.1:{free_port}",), connect_timeout=1.0)
    )
    with pytest.raises(StorageUnavailable, match=r"\[kafka\] servers"):
        stream.publish([Record("t", b"")])
    stream.close()


def test_polling_without_brokers_says_the_same_and_can_be_tried_again(
    free_port: int, client: str
) -> None:
    stream = KafkaStream(
        KafkaSettings(client=client, servers=(f"127.0.0.1:{free_port}",), connect_timeout=1.0)
    )
    member = stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=lambda _: None)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"\[kafka\] servers"):
            member.poll(20.0, 1)
    # An attempt that failed leaves no thread of the client behind.
    assert not [each for each in threading.enumerate() if each.name.startswith("kafka-io")]
    stream.close()


def test_no_password_stands_in_what_is_shown() -> None:
    settings = KafkaSettings(sasl_mechanism="PLAIN", sasl_password=Secret("hunter2"))
    assert "hunter2" not in repr(settings)


def test_the_same_brokers_and_prefix_are_the_same_stream() -> None:
    secret = Secret("hunter2")
    one = declared(KafkaSettings(servers=("b:9092", "a:9092"), sasl_password=secret)).fleet
    other = declared(KafkaSettings(servers=("a:9092", "b:9092"))).fleet
    apart = declared(KafkaSettings(servers=("a:9092", "b:9092"), prefix="test.")).fleet

    assert one.identity == other.identity == "a:9092,b:9092"
    assert (apart.identity, apart.prefix) == ("a:9092,b:9092 test.", "test.")
    assert (one.poll_interval, one.publish_timeout) == (300.0, 10.0)
