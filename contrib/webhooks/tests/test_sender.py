"""Requests as they are sent, and the addresses they may go to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping

import pytest
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.guard import AddressRefused, Guard, is_public
from rolehost_webhooks.delivery.sender import DROPPED, USER_AGENT, Sender
from rolehost_webhooks.models import Cause
from rolehost_webhooks.settings import DeliverySettings

from .receiver import Receiver

OPEN = DeliverySettings(allow_private=True, timeout=5.0, response_limit=1000)
GUARDED = DeliverySettings(timeout=5.0)


def post(
    *urls: str,
    settings: DeliverySettings = OPEN,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"{}",
) -> list[Answer]:
    """Send one request after the other with one client."""

    async def run() -> list[Answer]:
        sender = Sender(settings)
        return [await sender.post(url, headers or {}, body) for url in urls]

    return asyncio.run(run())


def test_the_body_and_the_headers_arrive_as_given(receiver: Receiver) -> None:
    (answer,) = post(receiver.url, headers={"x-one": "1"}, body=b"\x00\xff")
    received = receiver.next()
    assert (answer.status, answer.body) == (200, "thanks")
    assert received.body == b"\x00\xff"
    assert received.headers["x-one"] == "1"
    names = {"host", "user-agent", "accept-encoding", "x-one", "content-length", "content-type"}
    assert set(received.headers) == names
    assert received.headers["user-agent"] == USER_AGENT
    assert received.headers["accept-encoding"] == "identity"


def test_a_large_body_arrives(receiver: Receiver) -> None:
    body = b"x" * 3_000_000
    assert post(receiver.url, body=body)[0].status == 200
    assert receiver.next().body == body


def test_a_url_is_sent_as_it_is_given(receiver: Receiver) -> None:
    target = "/a%41%2f/../b;c=1/(x)|%7E?q=a%20b+c&d=%2B/?é#part"
    post(receiver.url.replace("/hook", target))
    assert receiver.next().path == "/a%41%2f/../b;c=1/(x)%7C%7E?q=a%20b+c&d=%2B/?%C3%A9"


def test_a_connection_is_used_again(receiver: Receiver) -> None:
    post(*[receiver.url] * 3)
    assert len({receiver.next().peer for _ in range(3)}) == 1


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.answers.put((302, {"location": receiver.url}, b""))
    assert post(receiver.url)[0].status == 302
    receiver.next()
    assert receiver.requests.empty()


def test_a_cookie_is_not_sent_back(receiver: Receiver) -> None:
    receiver.answers.put((200, {"set-cookie": "a=b"}, b""))
    post(receiver.url, receiver.url)
    receiver.next()
    assert "cookie" not in receiver.next().headers


def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    assert post(receiver.url)[0].status == 200


def test_a_response_is_kept_up_to_the_limit(receiver: Receiver) -> None:
    receiver.answers.put((500, {"retry-after": "7"}, b"a\0\xff" + b"x" * 5000))
    answer, next_answer = post(receiver.url, receiver.url)
    assert answer.body.startswith("a\ufffd\ufffd") and len(answer.body) == 1000
    assert answer.retry_after == "7"
    assert next_answer.status == 200
    assert receiver.next().peer == receiver.next().peer


def test_a_long_response_closes_its_connection(receiver: Receiver) -> None:
    receiver.answers.put((500, {}, b"x" * (DROPPED * 20)))
    first, second = post(receiver.url, receiver.url)
    assert (first.status, len(first.body), second.status) == (500, 1000, 200)
    assert receiver.next().peer != receiver.next().peer


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://no.such.name.invalid/", "http://[::bad/", "http://"]
)
def test_what_cannot_be_reached_is_an_answer_without_status(url: str) -> None:
    (answer,) = post(url)
    assert answer.status == 0
    assert answer.body


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[::127.0.0.1]"]
)
def test_private_addresses_are_blocked_by_name_and_by_number(receiver: Receiver, name: str) -> None:
    (answer,) = post(receiver.url.replace("127.0.0.1", name), settings=GUARDED)
    assert answer.cause == Cause.BLOCKED
    assert receiver.requests.empty()


@pytest.mark.parametrize(
    "name",
    ["2130706433", "127.1", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "localhost.", "１２７.1"],
)
def test_unusual_spellings_of_private_addresses_are_refused_too(
    receiver: Receiver, name: str
) -> None:
    (answer,) = post(receiver.url.replace("127.0.0.1", name), settings=GUARDED)
    assert answer.status == 0
    assert receiver.requests.empty()


def test_an_allowed_network_is_reached_and_no_other(receiver: Receiver) -> None:
    for networks, status in ((("127.0.0.0/24",), 200), (("127.0.1.0/24",), 0)):
        settings = DeliverySettings(timeout=5.0, allow_networks=networks)
        assert post(receiver.url, settings=settings)[0].status == status


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The addresses that names have, and the names that were looked up."""
    known = Names()
    monkeypatch.setattr(socket, "getaddrinfo", known.look_up)
    return known


class Names(dict[str, list[str]]):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def look_up(self, host: str, port: int, **_named: object) -> list[object]:
        self.asked.append(host)
        if host not in self:
            raise socket.gaierror("unknown")
        return [(None, None, None, "", (address, port)) for address in self[host]]


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to(
    receiver: Receiver, names: Names
) -> None:
    names["xn--mnchen-3ya.example."] = ["127.0.0.1"]
    settings = DeliverySettings(timeout=5.0, allow_networks=("127.0.0.1",))
    url = receiver.url.replace("127.0.0.1", "München.example.")
    assert post(url, settings=settings)[0].status == 200
    assert names.asked == ["xn--mnchen-3ya.example."]
    assert receiver.next().headers["host"].startswith("xn--mnchen-3ya.example")


def test_only_the_allowed_addresses_of_a_name_are_connected_to(
    receiver: Receiver, names: Names
) -> None:
    names["mixed.example"] = ["10.0.0.1", "127.0.0.1", "::1"]
    settings = DeliverySettings(timeout=5.0, allow_networks=("127.0.0.1",))
    url = receiver.url.replace("127.0.0.1", "mixed.example")
    assert post(url, settings=settings)[0].status == 200
    names["mixed.example"] = ["10.0.0.1", "::1"]
    assert post(url, settings=settings)[0].cause == Cause.BLOCKED


def test_every_socket_is_checked_whatever_the_resolver_returned() -> None:
    guard = Guard(everywhere=False)
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:10.0.0.1")):
        with pytest.raises(AddressRefused):
            guard.open_socket((family, socket.SOCK_STREAM, 0, "", (address, 80)))
    guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))).close()


def test_lookups_that_take_too_long_hold_no_other(
    receiver: Receiver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    names["quick.example"] = ["127.0.0.1"]

    def slow(host: str, port: int, **named: object) -> list[object]:
        if host != "quick.example":
            assert released.wait(30)
        return names.look_up(host, port, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def run() -> list[Answer]:
        sender = Sender(DeliverySettings(allow_private=True, timeout=1.0))
        urls = [f"http://slow{number}.example/" for number in range(40)]
        urls.append(receiver.url.replace("127.0.0.1", "quick.example"))
        answers = await asyncio.gather(*[sender.post(url, {}, b"") for url in urls])
        released.set()
        return answers

    *slow_ones, quick = asyncio.run(run())
    assert {each.cause for each in slow_ones} == {Cause.TIMEOUT}
    assert slow_ones[0].body == "timeout: slow0.example port 80 accepted no connection within 1 s"
    assert quick.status == 200


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_these_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_these_are_public(address: str) -> None:
    assert is_public(address)
