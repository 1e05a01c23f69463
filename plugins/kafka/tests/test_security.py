"""Brokers that ask who calls: by a name and a password, by a certificate, or both."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from rolehost.api import Record, Secret, StorageRefused, StorageUnavailable, Stream
from rolehost_testing.services import certificates

PATIENCE = 60.0


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def plain(start_module_server) -> Any:
    """A broker that wants passwords, as they are."""
    return start_module_server("kafka", password="right")


@pytest.fixture(scope="module")
def closed(start_module_server) -> Any:
    """A broker with TLS that wants proofs of passwords; elsewhere, certificates of its clients."""
    mechanisms = ("SCRAM-SHA-256", "SCRAM-SHA-512")
    return start_module_server(
        "kafka", password="right", mechanisms=mechanisms, tls=True, client_certificates=True
    )


@pytest.fixture(params=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def asking(request: pytest.FixtureRequest, plain: Any, closed: Any) -> tuple[str, dict[str, Any]]:
    """Where a broker wants a login, and what to log in with but for the password."""
    mechanism = request.param
    server = plain if mechanism == "PLAIN" else closed
    given: dict[str, Any] = {"sasl_mechanism": mechanism, "sasl_username": "rolehost"}
    if server.authority:
        given |= {"tls": True, "tls_ca": server.authority}
    return f"127.0.0.1:{server.login_port}", given


def carries(stream: Stream) -> bool:
    """Publish a record, read it back, and close the stream."""
    stream.publish([Record("t", b"1", key=b"k")])
    member = stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=lambda _: None)
    found: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while not found:
        assert time.monotonic() < deadline, "nothing came"
        found += [each.value for each in member.poll(0.5, 100)]
    member.close()
    stream.close()
    return found == [b"1"]


def test_who_logs_in_publishes_and_reads(asking, stream_of) -> None:
    where, given = asking
    assert carries(stream_of(where, **given, sasl_password=Secret("right")))


def refusal(stream_of, where: str, **given: Any) -> str:
    """Return the one line that such settings lead to."""
    # Long enough to be refused; it is all waited for.
    stream = stream_of(where, **given, connect_timeout=1.0, request_timeout=1.0)
    with pytest.raises((StorageRefused, StorageUnavailable)) as caught:
        stream.ping()
    stream.close()
    line = str(caught.value)
    assert "mistaken" not in line
    assert "\n" not in line
    return f"{type(caught.value).__name__}: {line}"


def test_a_wrong_password_is_one_line_without_it(asking, stream_of) -> None:
    where, given = asking
    line = refusal(stream_of, where, **given, sasl_password=Secret("mistaken"))
    assert line.startswith("StorageRefused: kafka: [kafka] sasl_username, sasl_password: ")


def test_a_mechanism_that_is_not_offered_names_its_setting(asking, stream_of) -> None:
    where, given = asking
    other = "SCRAM-SHA-512" if given["sasl_mechanism"] == "PLAIN" else "PLAIN"
    given = {**given, "sasl_mechanism": other, "sasl_password": Secret("right")}
    line = refusal(stream_of, where, **given)
    assert line.startswith("StorageRefused: kafka: [kafka] sasl_mechanism: ")


def test_an_unknown_authority_is_not_trusted(closed, stream_of) -> None:
    line = refusal(stream_of, f"127.0.0.1:{closed.tls_port}", tls=True)
    assert "[kafka] tls_ca: " in line


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
    where = f"127.0.0.1:{closed.tls_port}"
    line = refusal(stream_of, where, tls=True, tls_ca=closed.authority)
    assert "[kafka] tls_certificate: " in line


def test_a_certificate_of_a_stranger_is_told_with_its_setting(closed, stream_of, tmp_path) -> None:
    stranger = certificates.make(tmp_path).client
    given = {"tls_certificate": stranger.certificate, "tls_key": stranger.key}
    where = f"127.0.0.1:{closed.tls_port}"
    line = refusal(stream_of, where, tls=True, tls_ca=closed.authority, **given)
    assert "[kafka] tls_certificate: " in line


def encrypted(key, password: str) -> str:
    command = ["openssl", "pkcs8", "-topk8", "-in", key, "-passout", f"pass:{password}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
