"""Endpoints that get their messages one after the other, in their order."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from rolehost_testing.kit import Host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import endpoints, messages, recovery
from rolehost_webhooks.models import Delivery, Status
from rolehost_webhooks.schemas.endpoints import EndpointIn, EndpointOut, EndpointPatch
from rolehost_webhooks.schemas.messages import MessageIn

from .inprocess import posting, running

OK, BUSY = Answer(204, "", 1), Answer(503, "", 1)


@pytest.fixture
def here() -> Iterator[Host]:
    with running(schedule=[60.0] * 2, jitter=0.0) as host:
        endpoints.create(
            host.services, "app", EndpointIn(url="http://ordered/", uid="ordered", fifo=True)
        )
        yield host


@pytest.fixture
def posted() -> list[tuple[str, str]]:
    """The receivers and bodies of the requests."""
    return []


@pytest.fixture(autouse=True)
def failing(monkeypatch: pytest.MonkeyPatch, posted: list[tuple[str, str]]) -> set[str]:
    """The bodies to which the ordered endpoint answers 503."""
    bodies: set[str] = set()

    def answer(_sender: Sender, url: str, _headers: object, body: bytes) -> Answer:
        posted.append((url, body.decode()))
        return BUSY if "ordered" in url and body.decode() in bodies else OK

    monkeypatch.setattr(Sender, "post", posting(answer))
    return bodies


def send(here: Host, *bodies: str) -> None:
    for body in bodies:
        message = MessageIn(event_type="a", payload=msgspec.Raw(body.encode()))
        messages.create(here.services, "app", message)


def ordered(posted: list[tuple[str, str]]) -> list[str]:
    return [body for url, body in posted if "ordered" in url]


def test_a_message_that_is_retried_holds_back_later_ones_of_its_endpoint_only(
    here: Host, posted: list[tuple[str, str]], failing: set[str]
) -> None:
    failing.add('{"n":1}')
    send(here, '{"n":1}', '{"n":2}', '{"n":3}')
    here.drain(raises=False)
    assert ordered(posted) == ['{"n":1}']
    assert len(posted) == 4
    failing.clear()
    here.advance(60)
    assert ordered(posted) == ['{"n":1}', '{"n":1}', '{"n":2}', '{"n":3}']


def test_a_message_that_is_given_up_lets_the_next_one_pass(
    here: Host, posted: list[tuple[str, str]], failing: set[str]
) -> None:
    failing.add('{"n":1}')
    send(here, '{"n":1}', '{"n":2}')
    here.drain(raises=False)
    here.advance(120, raises=False)
    assert ordered(posted) == ['{"n":1}'] * 3 + ['{"n":2}']


def test_the_rate_of_the_endpoint_holds(here: Host, posted: list[tuple[str, str]]) -> None:
    endpoints.patch(here.services, "app", "ordered", EndpointPatch(throttle_rate=1))
    send(here, *(f'{{"n":{n}}}' for n in range(3)))
    here.drain()
    assert len(ordered(posted)) == 1
    here.advance(1)
    assert len(ordered(posted)) == 2


def test_recovered_messages_keep_their_order(
    here: Host, posted: list[tuple[str, str]], failing: set[str]
) -> None:
    failing |= {'{"n":1}', '{"n":2}'}
    send(here, '{"n":1}', '{"n":2}')
    here.drain(raises=False)
    here.advance(600, raises=False)
    with here.services.database.session():
        assert Delivery.select().where(Delivery.status == Status.FAIL).count() == 2
    failing.clear()
    posted.clear()
    since = here.clock.moment.replace(year=here.clock.moment.year - 1)
    recovery.recover(here.services, "app", "ordered", since, None)
    here.drain()
    assert ordered(posted) == ['{"n":1}', '{"n":2}']


def test_the_order_is_a_field_of_the_endpoint_that_may_be_changed(here: Host) -> None:
    with here.services.database.session():
        shown = EndpointOut.of(endpoints.get("app", "ordered"))
        other = EndpointOut.of(endpoints.get("app", "ep"))
    assert (shown.fifo, other.fifo) == (True, msgspec.UNSET)
    endpoints.patch(here.services, "app", "ordered", EndpointPatch(fifo=False))
    endpoints.patch(here.services, "app", "ep", EndpointPatch(fifo=True))
    with here.services.database.session():
        assert EndpointOut.of(endpoints.get("app", "ordered")).fifo is msgspec.UNSET
        assert EndpointOut.of(endpoints.get("app", "ep")).fifo is True
