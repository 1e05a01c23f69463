"""The routes of docs/routes.md answer as described, in a real host."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.check.casefile import install
from tests.docs.author import ROLEHOST
from tests.docs.pages import extract
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, free_port, running

PAGE = ROOT / "docs/routes.md"
TOKEN = {"Authorization": "Bearer let-me-in"}
SHOP = "https://shop.example"
DEPLOYMENT = """
plugins = ["embedded", "gallery"]

[gallery]
token = "let-me-in"
"""


class Gallery:
    """The running host."""

    def __init__(self, port: int) -> None:
        self.port = port

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; return status, headers in lower case, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        data = answer.read()
        connection.close()
        return answer.status, found, data

    def json(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Send a request with the token; return the decoded body of a success."""
        status, _, data = self.call(method, path, body, **TOKEN, **headers)
        assert status in (200, 201), data
        return json.loads(data)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("gallery")
    extract(PAGE, folder)
    (folder / "static/sub").mkdir(parents=True)
    (folder / "static/sub/hello.txt").write_text("hello", "utf-8")
    (folder / "gallery.toml").write_text(DEPLOYMENT, "utf-8")
    install(folder, "acme-gallery", "1.0", "gallery = gallery")
    port = free_port()
    environ = {"PYTHONPATH": str(folder), "ROLEHOST__HTTP__BIND": f"127.0.0.1:{port}"}
    with running([ROLEHOST, "run", "gallery.toml"], folder, environ) as host:
        host.until(READY)
        yield Gallery(port)


def test_a_synchronous_responder_honours_an_idempotency_key(gallery: Gallery) -> None:
    for replayed in (None, "true"):
        status, headers, body = gallery.call(
            "POST", "/notes", b'{"text": "a"}', **TOKEN, Idempotency_Key="1"
        )
        assert (status, json.loads(body)) == (201, {"text": "a"})
        assert headers.get("idempotent-replayed") == replayed


def test_a_body_is_decoded_or_refused(gallery: Gallery) -> None:
    assert gallery.call("POST", "/notes", b"{", **TOKEN)[0] == 400
    status, _, body = gallery.call("POST", "/notes", b'{"text": 1}', **TOKEN)
    assert status == 422
    assert json.loads(body)["errors"][0]["loc"] == ["body", "text"]


def test_an_asynchronous_responder_calls_a_thread(gallery: Gallery) -> None:
    assert gallery.json("POST", "/slow", b'{"text": "a"}') == {"text": "A"}


def test_a_response_is_streamed(gallery: Gallery) -> None:
    status, headers, body = gallery.call("GET", "/export?rows=2", **TOKEN)
    assert (status, body) == (200, b"0,0\n1,1\n")
    assert headers["transfer-encoding"] == "chunked"


def test_an_upload_may_be_larger_than_other_bodies(gallery: Gallery) -> None:
    data = os.urandom(3 * 2**20)
    found = gallery.json("PUT", "/upload", data)
    assert found == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    status, _, body = gallery.call("POST", "/notes", data, **TOKEN)
    assert (status, json.loads(body)["code"]) == (413, "content_too_large")


def test_a_multipart_form_is_read(gallery: Gallery) -> None:
    lines = (
        "--cut",
        'Content-Disposition: form-data; name="note"',
        "",
        "hello",
        "--cut",
        'Content-Disposition: form-data; name="file"; filename="a.bin"',
        "",
        "12345",
        "--cut--",
        "",
    )
    found = gallery.json(
        "POST",
        "/form",
        "\r\n".join(lines).encode(),
        Content_Type="multipart/form-data; boundary=cut",
    )
    assert found == {"note": "hello", "file": {"file": "a.bin", "bytes": 5}}


def test_server_sent_events_arrive(gallery: Gallery) -> None:
    status, headers, body = gallery.call("GET", "/clock?count=2", **TOKEN)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert body.split(b"\n\n")[0] == b'event: tick\nid: 0\ndata: {"tick":0}'


@pytest.mark.parametrize(("head", "status"), [("Authorization: Bearer let-me-in", 101), ("", 403)])
def test_a_websocket_answers_an_admitted_client(gallery: Gallery, head: str, status: int) -> None:
    lines = (
        "GET /echo HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *([head] if head else []),
        "",
        "",
    )
    with socket.create_connection(("127.0.0.1", gallery.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        reader = connection.makefile("rb")
        assert reader.readline().split()[1] == str(status).encode()
        while reader.readline().strip():
            pass
        if status == 101:
            mask, said = os.urandom(4), b"hello"
            masked = bytes(each ^ mask[place % 4] for place, each in enumerate(said))
            connection.sendall(bytes([0x81, 0x80 | len(said)]) + mask + masked)
            answer = b"you said hello"
            assert reader.read(2 + len(answer)) == bytes([0x81, len(answer)]) + answer


def test_a_preflight_is_answered_for_the_allowed_origin_alone(gallery: Gallery) -> None:
    asked = {"Access_Control_Request_Method": "POST"}
    status, headers, _ = gallery.call("OPTIONS", "/notes", Origin=SHOP, **asked)
    assert (status, headers["access-control-allow-origin"]) == (200, SHOP)
    status, headers, _ = gallery.call("OPTIONS", "/notes", Origin="https://evil.example", **asked)
    assert "access-control-allow-origin" not in headers
    status, headers, _ = gallery.call("POST", "/notes", b'{"text": "a"}', Origin=SHOP)
    assert status == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("sub/hello.txt", 200),
        ("sub", 404),
        ("../gallery.toml", 404),
        ("%2e%2e/gallery.toml", 404),
        ("%2e%2e%2fgallery.toml", 404),
    ],
)
def test_only_files_of_the_folder_are_served(gallery: Gallery, path: str, status: int) -> None:
    found, headers, body = gallery.call("GET", f"/static/{path}")
    assert found == status
    if status == 200:
        assert (headers["content-type"], body) == ("text/plain", b"hello")
