"""An endpoint that fails gets one request at a time, and is disabled after days."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from rolehost_testing.kit import Host
from rolehost_webhooks import outcomes
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import endpoints, messages
from rolehost_webhooks.models import Attempt, Delivery, Endpoint, Status
from rolehost_webhooks.repositories import attempts
from rolehost_webhooks.schemas.endpoints import EndpointOut, EndpointPatch
from rolehost_webhooks.schemas.messages import MessageIn

from .inprocess import posting, running

OK, BUSY = Answer(204, "", 1), Answer(503, "", 1)
DAY = 86_400

#: Concurrency, rate and burst that a limit of a partition may have.
Numbers = tuple[int | None, float | None, int | None]


@pytest.fixture
def here() -> Iterator[Host]:
    with running(probe_after=3, schedule=[60.0] * 5, jitter=0.0, outcomes="told") as host:
        yield host


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the receiver answers, one by one, and then for ever."""
    given: list[Answer] = [OK]
    monkeypatch.setattr(
        Sender, "post", posting(lambda *_: given[0] if len(given) == 1 else given.pop(0))
    )
    return given


def send(here: Host, count: int = 1) -> None:
    for _ in range(count):
        message = MessageIn(event_type="a", payload=msgspec.Raw(b"{}"))
        messages.create(here.services, "app", message)
    here.drain()


def endpoint(here: Host) -> Endpoint:
    with here.services.database.session():
        return endpoints.get("app", "ep")


def limit(here: Host) -> Numbers | None:
    """Return the limit of the endpoint, if it has one of its own."""
    with here.services.database.session():
        rows = here.services.database.read(
            "SELECT concurrency, rate, burst FROM rolehost_limits WHERE name LIKE 'partition:%'"
        )
    return tuple(rows[0]) if rows else None  # type: ignore[return-value]


def test_an_endpoint_fails_after_some_failures_in_a_row(here: Host, answers: list[Answer]) -> None:
    answers[:] = [BUSY, BUSY, OK, BUSY, BUSY, BUSY]
    send(here, 5)
    assert (endpoint(here).failing_since, limit(here)) == (None, None)
    send(here)
    now = here.services.clock.now()
    assert (endpoint(here).failing_since, limit(here)) == (now, (1, None, 1))


def test_the_first_success_ends_it(here: Host, answers: list[Answer]) -> None:
    answers[:] = [BUSY, BUSY, BUSY, OK]
    send(here, 3)
    assert EndpointOut.of(endpoint(here)).failing_since is not msgspec.UNSET
    here.clock.advance(60)
    here.drain()
    assert (endpoint(here).failing_since, limit(here)) == (None, None)
    assert EndpointOut.of(endpoint(here)).failing_since is msgspec.UNSET


def test_a_failing_endpoint_keeps_its_rate(here: Host, answers: list[Answer]) -> None:
    endpoints.patch(here.services, "app", "ep", EndpointPatch(throttle_rate=100))
    answers[:] = [BUSY]
    send(here, 3)
    assert limit(here) == (1, 100.0, 1)
    endpoints.patch(here.services, "app", "ep", EndpointPatch(throttle_rate=50))
    assert limit(here) == (1, 50.0, 1)
    answers[:] = [OK]
    here.clock.advance(60)
    here.drain()
    assert limit(here) == (4, 50.0, 4)


def test_only_the_last_attempts_at_the_endpoint_count(here: Host, answers: list[Answer]) -> None:
    answers[:] = [BUSY]
    send(here, 2)
    number = endpoint(here).id
    with here.services.unit_of_work():
        assert attempts.have_failed(number, 2)
        assert not attempts.have_failed(number, 3)
        assert not attempts.have_failed("ep_other", 1)


def test_an_endpoint_that_fails_for_days_is_disabled(here: Host, answers: list[Answer]) -> None:
    answers[:] = [BUSY]
    send(here, 3)
    since = here.services.clock.now()
    here.clock.advance(5 * DAY - 1)
    send(here)
    assert not endpoint(here).disabled
    here.clock.advance(60)
    here.drain()
    assert endpoint(here).disabled
    here.assert_published("told", type=outcomes.DISABLED, trigger="automatic")
    with here.services.database.session():
        states = {row.status for row in Delivery.select()}
        assert states <= {Status.FAIL, Status.CANCELED}
        assert Attempt.select().where(Attempt.created_at > since + 5 * DAY * 1000).count() == 1


def test_an_endpoint_that_is_enabled_again_does_not_fail(here: Host, answers: list[Answer]) -> None:
    answers[:] = [BUSY]
    send(here, 3)
    here.clock.advance(6 * DAY)
    here.drain()
    assert endpoint(here).disabled
    endpoints.patch(here.services, "app", "ep", EndpointPatch(disabled=False))
    assert (endpoint(here).failing_since, limit(here)) == (None, None)


def test_zero_days_disable_nothing(answers: list[Answer]) -> None:
    answers[:] = [BUSY]
    with running(probe_after=1, disable_after_days=0.0) as here:
        send(here)
        here.clock.advance(30 * DAY)
        send(here)
        assert not endpoint(here).disabled
