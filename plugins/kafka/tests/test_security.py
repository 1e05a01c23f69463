"""Brokers that ask who calls: by a name and a password, by a certificate, or both."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from rolehost.api import Record, Secret, StorageRefused, StorageUnavailable, Stream
from rolehost.testing.services import certificates

PATIENCE = 60.0


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def asking(request: pytest.FixtureRequest, start_module_server) -> Any:
    """A broker, the port at which it wants a login, and what to log in with."""
    mechanism = request.param
    # PLAIN is shown without TLS, for there is a port for each.
    server = start_module_server(
        "kafka", password="right", mechanism=mechanism, tls=mechanism != "PLAIN"
    )
    given: dict[str, object] = {"sasl_mechanism": mechanism, "sasl_username": "rolehost"}
    if server.authority:
        given |= {"tls": True, "tls_ca": server.authority}
    return server, f"127.0.0.1:{server.login_port}", given


@pytest.fixture(scope="module")
def closed(start_module_server) -> Any:
    """A broker that knows its clients by their certificates."""
    return start_module_server("kafka", tls=True, client_certificates=True)


def carries(stream: Stream) -> bool:
    """Publish a record, read it back, and close the stream."""
    stream.publish([Record("t", b"1", key=b"k")])
    member = stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=lambda _: None)
    found: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while not found:
        assert time.monotonic() < deadline, "nothing came"
        found += [each.record.value for each in member.poll(0.5, 100)]
    member.close()
    stream.close()
    return found == [b"1"]


def test_who_logs_in_publishes_and_reads(asking, stream_of) -> None:
    _, where, given = asking
    assert carries(stream_of(where, **given, sasl_password=Secret("right")))


def test_a_wrong_password_is_one_line_without_it(asking, stream_of) -> None:
    _, where, given = asking
    stream = stream_of(where, **given, sasl_password=Secret("mistaken"))
    with pytest.raises(StorageRefused, match=r"\[kafka\] sasl_username, sasl_password") as caught:
        stream.ping()
    assert "mistaken" not in str(caught.value)
    assert "\n" not in str(caught.value)
    stream.close()


def test_a_mechanism_that_is_not_offered_names_its_setting(asking, stream_of) -> None:
    _, where, given = asking
    other = "SCRAM-SHA-512" if given["sasl_mechanism"] == "PLAIN" else "PLAIN"
    given = {**given, "sasl_mechanism": other, "sasl_password": Secret("right")}
    stream = stream_of(where, **given)
    with pytest.raises(StorageRefused, match=r"\[kafka\] sasl_mechanism"):
        stream.ping()
    stream.close()


def test_an_unknown_authority_is_not_trusted(closed, stream_of) -> None:
    stream = stream_of(f"127.0.0.1:{closed.tls_port}", tls=True)
    with pytest.raises((StorageRefused, StorageUnavailable), match=r"\[kafka\] tls_ca"):
        stream.ping()
    stream.close()


def test_who_shows_a_certificate_publishes_and_reads(closed, stream_of) -> None:
    given = {"tls": True, "tls_ca": closed.authority, "tls_certificate": closed.client.certificate}
    assert carries(stream_of(f"127.0.0.1:{closed.tls_port}", **given, tls_key=closed.client.key))


def test_a_certificate_and_its_encrypted_key_may_be_one_file(closed, stream_of, tmp_path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(encrypted(closed.client.key, "s3cret") + closed.client.certificate.read_text())
    given = {"tls": True, "tls_ca": closed.authority, "tls_certificate": both}
    secret = Secret("s3cret")
    assert carries(stream_of(f"127.0.0.1:{closed.tls_port}", **given, tls_key_password=secret))


def test_who_shows_no_certificate_is_told_the_setting(closed, stream_of) -> None:
    stream = stream_of(f"127.0.0.1:{closed.tls_port}", tls=True, tls_ca=closed.authority)
    with pytest.raises((StorageRefused, StorageUnavailable), match=r"\[kafka\] tls_certificate"):
        stream.ping()
    stream.close()


def test_a_certificate_of_a_stranger_is_told_with_its_setting(closed, stream_of, tmp_path) -> None:
    stranger = certificates.make(tmp_path).client
    given = {"tls_certificate": stranger.certificate, "tls_key": stranger.key}
    where = f"127.0.0.1:{closed.tls_port}"
    stream = stream_of(where, tls=True, tls_ca=closed.authority, **given)
    with pytest.raises((StorageRefused, StorageUnavailable), match=r"\[kafka\] tls_certificate"):
        stream.ping()
    stream.close()


def encrypted(key, password: str) -> str:
    command = ["openssl", "pkcs8", "-topk8", "-in", key, "-passout", f"pass:{password}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
