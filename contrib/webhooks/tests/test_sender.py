"""Requests as they are sent, and the addresses they may go to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from rolehost_webhooks.delivery.guard import is_public
from rolehost_webhooks.delivery.sender import USER_AGENT, Sender
from rolehost_webhooks.settings import DeliverySettings

from .receiver import Receiver


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender(DeliverySettings(allow_private=True, timeout=5.0, response_limit=1000))
    yield made
    made.close()


@pytest.fixture
def guarded() -> Iterator[Sender]:
    made = Sender(DeliverySettings(timeout=5.0))
    yield made
    made.close()


def test_the_body_and_the_headers_arrive_as_given(sender: Sender, receiver: Receiver) -> None:
    answer = sender.post(receiver.url, {"x-one": "1"}, b"\x00\xff")
    received = receiver.next()
    assert (answer.status, answer.body) == (200, "thanks")
    assert received.body == b"\x00\xff"
    assert received.headers["x-one"] == "1"
    assert received.headers["user-agent"] == USER_AGENT


def test_a_connection_is_used_again(sender: Sender, receiver: Receiver) -> None:
    for _ in range(3):
        sender.post(receiver.url, {}, b"{}")
    assert len({receiver.next().peer for _ in range(3)}) == 1


def test_a_redirect_is_an_answer_and_not_followed(sender: Sender, receiver: Receiver) -> None:
    receiver.answers.put((302, {"location": receiver.url}, b""))
    assert sender.post(receiver.url, {}, b"{}").status == 302
    receiver.next()
    assert receiver.requests.empty()


def test_a_response_is_kept_up_to_the_limit(sender: Sender, receiver: Receiver) -> None:
    receiver.answers.put((500, {"retry-after": "7"}, b"a\0\xff" + b"x" * 5000))
    answer = sender.post(receiver.url, {}, b"{}")
    assert answer.body.startswith("a\ufffd\ufffd") and len(answer.body) == 1000
    assert answer.retry_after == "7"
    assert sender.post(receiver.url, {}, b"{}").status == 200


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://no.such.name.invalid/", "http://[::bad/", "http://"]
)
def test_what_cannot_be_reached_is_an_answer_without_status(sender: Sender, url: str) -> None:
    answer = sender.post(url, {}, b"{}")
    assert answer.status == 0
    assert answer.body


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"])
def test_private_addresses_are_refused_by_name_and_by_number(
    guarded: Sender, receiver: Receiver, name: str
) -> None:
    answer = guarded.post(receiver.url.replace("127.0.0.1", name), {}, b"{}")
    assert answer.status == 0
    assert receiver.requests.empty()


@pytest.mark.parametrize("name", ["127.1", "0x7f.0.0.1", "017700000001", "localhost.", "１２７.1"])
def test_unusual_spellings_of_private_addresses_are_refused_too(
    guarded: Sender, receiver: Receiver, name: str
) -> None:
    answer = guarded.post(receiver.url.replace("127.0.0.1", name), {}, b"{}")
    assert answer.status == 0
    assert receiver.requests.empty()


def test_an_allowed_network_is_reached_and_no_other(receiver: Receiver) -> None:
    for networks, status in ((("127.0.0.0/24",), 200), (("127.0.1.0/24",), 0)):
        sender = Sender(DeliverySettings(timeout=5.0, allow_networks=networks))
        assert sender.post(receiver.url, {}, b"{}").status == status
        sender.close()


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def answer(host: str, *args: object, **named: object) -> object:
        asked.append(host)
        known = {"xn--mnchen-3ya.example.": "127.0.0.1"}
        return resolve(known.get(host, host), *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    sender = Sender(DeliverySettings(timeout=5.0, allow_networks=("127.0.0.1",)))
    url = receiver.url.replace("127.0.0.1", "München.example.")
    assert sender.post(url, {}, b"{}").status == 200
    assert asked == ["xn--mnchen-3ya.example.", "127.0.0.1"]
    assert receiver.next().headers["host"].startswith("xn--mnchen-3ya.example")
    sender.close()


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
