"""The cause if an attempt has no response: for real connections, and in every output."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import msgspec
import pytest
from aiohttp import ClientError, ServerDisconnectedError
from rolehost_testing.kit import Host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.failure import explain
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import messages
from rolehost_webhooks.models import Cause
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.settings import DeliverySettings

from .inprocess import posting, running
from .receiver import Receiver

#: Stands in the URL and in a header of every request here, and must stand in no text.
SECRET = "s3cret-value"


@contextmanager
def answering(reply: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections, do ``reply`` with each, and close it; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with accepted:
                reply(accepted)

    thread = Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Wakes accept, which a close alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def post(url: str, *, private: bool = True, header: str = SECRET) -> Answer:
    """Send one request, with the secret in URL and header."""

    async def send() -> Answer:
        sender = Sender(DeliverySettings(allow_private=private, timeout=0.3))
        return await sender.post(f"{url}/{SECRET}?token={SECRET}", {"x-token": header}, b"{}")

    return asyncio.run(send())


def read_request(connection: socket.socket) -> None:
    """Take the request, so that closing the connection does not reset it."""
    seen = b""
    while b"\r\n\r\n{}" not in seen:
        seen += connection.recv(65536)


def test_a_port_at_which_nothing_listens_refuses() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        answer = post(f"http://127.0.0.1:{port}")
    assert (answer.status, answer.cause) == (0, Cause.REFUSED)
    assert answer.body == f"connection refused by 127.0.0.1 port {port}"


def test_a_receiver_that_is_silent_is_a_timeout() -> None:
    # The backlog accepts; nobody reads.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = post(f"http://127.0.0.1:{port}")
    assert answer.cause == Cause.TIMEOUT
    assert answer.body == f"timeout: 127.0.0.1 port {port} sent no complete response within 0.3 s"


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"", Cause.CLOSED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cause.CLOSED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Cause.BAD_RESPONSE),
        (b"HTTP/1.1 abc OK\r\n\r\n", Cause.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Cause.BAD_RESPONSE),
    ],
)
def test_what_is_no_whole_http_response_is_told_apart(sent: bytes, cause: Cause) -> None:
    def reply(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(sent)

    with answering(reply) as port:
        answer = post(f"http://127.0.0.1:{port}")
    assert (answer.status, answer.cause) == (0, cause), answer


def test_tls_that_fails_says_why(receiver: Receiver) -> None:
    answer = post(receiver.url.replace("http://", "https://"))
    assert answer.cause == Cause.TLS
    assert answer.body.startswith("TLS failed with 127.0.0.1 port ")
    assert "wrong version number" in answer.body or "record layer failure" in answer.body


def test_a_name_without_an_address_is_dns() -> None:
    for private in (True, False):
        answer = post("http://no.such.name.invalid", private=private)
        assert answer.cause == Cause.DNS
        assert answer.body == "name not found: no.such.name.invalid port 80"


def test_a_private_address_is_blocked(receiver: Receiver) -> None:
    answer = post(receiver.url, private=False)
    assert answer.cause == Cause.BLOCKED
    assert answer.body.startswith("blocked address: 127.0.0.1 port ")


@pytest.mark.parametrize("url", ["http://[::bad", "http://127.0.0.1:99999", "gopher://a"])
def test_a_url_that_cannot_be_called_is_a_bad_request(url: str) -> None:
    assert post(url).cause == Cause.BAD_REQUEST


def test_a_header_that_cannot_be_sent_is_a_bad_request_without_its_value(
    receiver: Receiver,
) -> None:
    answer = post(receiver.url, header=f"{SECRET}\r\nx: y")
    assert answer.cause == Cause.BAD_REQUEST
    assert SECRET not in answer.body


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.EHOSTUNREACH, f"No route to host {SECRET}"), Cause.UNREACHABLE),
        (OSError(SECRET), Cause.UNREACHABLE),
        (TimeoutError(SECRET), Cause.TIMEOUT),
        (OSError(errno.ETIMEDOUT, SECRET), Cause.TIMEOUT),
        (ConnectionResetError(SECRET), Cause.CLOSED),
        (ServerDisconnectedError(SECRET), Cause.CLOSED),
        (ClientError(SECRET), Cause.BAD_REQUEST),
        (ValueError(SECRET), Cause.BAD_REQUEST),
    ],
)
def test_a_line_repeats_no_text_of_the_error(error: Exception, cause: Cause) -> None:
    failure = explain(error, f"https://receiver.example/{SECRET}?{SECRET}", 5.0, connected=True)
    assert failure.cause == cause
    assert "receiver.example port 443" in failure.text
    assert SECRET not in failure.text


def test_an_error_that_wraps_itself_is_explained() -> None:
    error = OSError("a")
    error.__cause__ = error
    assert explain(error, "http://a", 1.0, connected=True).cause == Cause.UNREACHABLE


# ---- where it is shown


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose only message has failed for good, without a response."""
    failed = Answer(0, "connection refused by receiver port 80", 7, cause=Cause.REFUSED)
    monkeypatch.setattr(Sender, "post", posting(lambda *_: failed))
    with running(plugins=("graphql",), outcomes="told", schedule=[]) as host:
        body = MessageIn(event_type="a", event_id="one", payload=msgspec.Raw(b"{}"))
        messages.create(host.services, "app", body)
        host.drain()
        yield host


SHOWN = {"cause": "refused", "response": "connection refused by receiver port 80"}


@pytest.mark.parametrize("content", ["true", "false"])
@pytest.mark.parametrize(
    "path",
    ["attempt/msg/one", "attempt/endpoint/ep", "msg/one/attempt", "msg/one/endpoint/ep/attempt"],
)
def test_every_listing_shows_the_cause(here: Host, path: str, content: str) -> None:
    answer = here.client.get(f"/api/v1/app/app/{path}?with_content={content}")
    (attempt,) = answer.json["data"]
    assert {name: attempt[name] for name in SHOWN} == SHOWN
    assert (attempt["responseStatusCode"], attempt["status"]) == (0, 2)
    one = here.client.get(f"/api/v1/app/app/msg/one/attempt/{attempt['id']}").json
    assert one == attempt


def test_graphql_shows_the_cause(here: Host) -> None:
    query = """{ message(application: "app", id: "one") { attempts { nodes {
        cause response responseStatusCode } } } }"""
    answer = here.client.post("/graphql", json={"query": query}).json
    (node,) = answer["data"]["message"]["attempts"]["nodes"]
    assert node == {**SHOWN, "cause": "REFUSED", "responseStatusCode": 0}


def test_the_outcome_event_and_the_dead_letter_have_the_cause(here: Host) -> None:
    event = here.assert_published("told", type="message.attempt.exhausted")
    assert {name: event.data["lastAttempt"][name] for name in SHOWN} == SHOWN
    here.assert_dead("webhooks.deliver", error=SHOWN["response"])


def test_an_attempt_with_a_response_has_no_cause(
    here: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sender, "post", posting(lambda *_: Answer(503, "busy", 7)))
    messages.resend(here.services, "app", "one", "ep")
    here.drain()
    newest = here.client.get("/api/v1/app/app/attempt/msg/one").json["data"][0]
    assert "cause" not in newest and newest["response"] == "busy"


def test_the_command_shows_the_cause(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(_client: object, method: str, *path: str, query: str = "") -> object:
        return here.client.request(method, "/api/v1/" + "/".join(path) + query).json

    monkeypatch.setattr("rolehost_webhooks.commands.client.Client.call", call)
    shown = here.invoke("webhooks attempts one --app app --json").output
    assert {name: json.loads(shown)[name] for name in SHOWN} == SHOWN
    table = here.invoke("webhooks attempts one --app app").output
    assert "refused" in table
