"""What happens when time passes: a clock that the test moves, the real engine and database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rolehost.api import Dead, DeclareContext, Retry, Services, Snooze
from rolehost_webhooks.actors.deliver import deliver
from rolehost_webhooks.actors.fan_out import fan_out
from rolehost_webhooks.actors.retention import BATCH, retention
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.errors import Conflict, Rejected
from rolehost_webhooks.models import Delivery, Endpoint, Message, Status
from rolehost_webhooks.plugins import delivery as plugin
from rolehost_webhooks.repositories import messages as repository
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn, EndpointPatch
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.services import applications, endpoints, messages
from rolehost_webhooks.settings import DeliverySettings

from .inprocess import Clock, Job, running

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    with running(tmp_path, clock) as services:
        applications.create(services, ApplicationIn(name="x", uid="app"))
        endpoints.create(services, "app", EndpointIn(url="http://receiver/", uid="ep"))
        yield services


@pytest.fixture
def answers(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the receiver answers, one by one; nothing leaves this process."""
    given: list[Answer] = []
    monkeypatch.setattr(Sender, "post", lambda *_: given.pop(0))
    return given


def send(services: Services, **given: Any) -> Message:
    return messages.create(
        services, "app", MessageIn(event_type="a", payload=msgspec.Raw(b"{}"), **given)
    )


def fanned_out(services: Services) -> tuple[Message, Endpoint]:
    message = send(services)
    fan_out(Job(services), message.id)
    return message, endpoints.get("app", "ep")


def jobs(services: Services) -> list[tuple[str, int]]:
    """Return actor and time of each job."""
    rows = services.database.read("SELECT actor, run_at FROM rolehost_jobs ORDER BY id")
    return [(str(actor), int(run_at)) for actor, run_at in rows]


def test_an_event_id_is_free_again_after_a_day(services: Services, clock: Clock) -> None:
    first = send(services, event_id="e")
    clock.sleep(DAY - 1)
    with pytest.raises(Conflict):
        send(services, event_id="e")
    clock.sleep(2)
    second = send(services, event_id="e")
    assert messages.get("app", "e").id == second.id
    assert messages.get("app", first.id).event_id == "e"


def test_a_refused_message_leaves_no_job(services: Services) -> None:
    send(services, event_id="e")
    with pytest.raises(Conflict):
        send(services, event_id="e")
    assert [actor for actor, _ in jobs(services)] == ["webhooks.fan_out"]


def test_a_message_may_wait_before_it_is_fanned_out(services: Services, clock: Clock) -> None:
    later = datetime.fromtimestamp(clock.now() / 1000 + HOUR, UTC)
    send(services, deliver_at=later)
    assert jobs(services) == [("webhooks.fan_out", clock.now() + HOUR * 1000)]
    for wrong in (clock.now() / 1000, clock.now() / 1000 + 2 * DAY):
        with pytest.raises(Rejected):
            send(services, deliver_at=datetime.fromtimestamp(wrong, UTC))


def test_fan_out_makes_one_delivery_and_one_job_for_each_endpoint(services: Services) -> None:
    endpoints.create(services, "app", EndpointIn(url="http://other/"))
    endpoints.create(services, "app", EndpointIn(url="http://deaf/", event_types=["b"]))
    message, _ = fanned_out(services)
    assert Delivery.select().where(Delivery.message_id == message.id).count() == 2
    assert [actor for actor, _ in jobs(services)].count("webhooks.deliver") == 2


def test_a_failure_is_tried_again_when_the_record_says_so(
    services: Services, clock: Clock, answers: list[Answer]
) -> None:
    message, endpoint = fanned_out(services)
    answers.append(Answer(500, "", 1))
    outcome = deliver(Job(services), message.id, endpoint.id)
    assert isinstance(outcome, Retry) and outcome.delay is not None
    assert 4.0 <= outcome.delay <= 6.0
    row = Delivery.get()
    assert row.status == Status.SENDING
    assert row.next_attempt == clock.now() + int(outcome.delay * 1000)


def test_the_last_failure_is_a_dead_letter(services: Services, answers: list[Answer]) -> None:
    message, endpoint = fanned_out(services)
    answers.append(Answer(0, "TimeoutError: late", 1))
    outcome = deliver(Job(services, attempt=8, last_attempt=True), message.id, endpoint.id)
    assert outcome == Dead("TimeoutError: late")
    assert Delivery.get().status == Status.FAIL


def test_what_a_manual_attempt_delivered_is_not_sent_again(
    services: Services, answers: list[Answer]
) -> None:
    message, endpoint = fanned_out(services)
    answers += [Answer(500, "", 1), Answer(200, "", 1)]
    deliver(Job(services), message.id, endpoint.id)
    assert deliver(Job(services), message.id, endpoint.id, 1) is None
    assert deliver(Job(services, attempt=2), message.id, endpoint.id) is None
    assert answers == []
    assert Delivery.get().status == Status.SUCCESS


@pytest.mark.parametrize("loss", ["deleted", "disabled", "expunged"])
def test_a_delivery_that_lost_its_end_or_its_payload_is_cancelled(
    services: Services, answers: list[Answer], loss: str
) -> None:
    message, endpoint = fanned_out(services)
    if loss == "deleted":
        endpoints.delete(services, "app", "ep")
    elif loss == "disabled":
        endpoints.patch(services, "app", "ep", EndpointPatch(disabled=True))
    else:
        messages.expunge(services, "app", message.id)
    assert deliver(Job(services), message.id, endpoint.id) is None
    row = Delivery.get()
    assert (row.status, row.next_attempt) == (Status.CANCELED, None)


def test_a_disabled_endpoint_can_still_be_sent_to_by_hand(
    services: Services, answers: list[Answer]
) -> None:
    message, endpoint = fanned_out(services)
    endpoints.patch(services, "app", "ep", EndpointPatch(disabled=True))
    messages.resend(services, "app", message.id, "ep")
    answers.append(Answer(204, "", 1))
    assert deliver(Job(services), message.id, endpoint.id, 1) is None
    assert Delivery.get().status == Status.SUCCESS


def test_an_expunged_message_cannot_be_sent_again(services: Services) -> None:
    message, _ = fanned_out(services)
    messages.expunge(services, "app", message.id)
    with pytest.raises(Rejected):
        messages.resend(services, "app", message.id, "ep")


def test_retention_runs_until_nothing_old_is_left(services: Services, clock: Clock) -> None:
    with services.unit_of_work():
        for number in range(BATCH + 1):
            old = Message(id=f"msg_0{number:04}", app_id="a", event_type="a", created_at=1)
            repository.insert(old)
    kept = send(services, payload_retention_hours=1)
    clock.sleep(2 * HOUR)
    assert isinstance(retention(Job(services)), Snooze)
    assert retention(Job(services)) is None
    (left,) = Message.select()
    assert (left.id, left.payload) == (kept.id, None)


def test_the_backlog_check_fails_when_deliveries_are_late(services: Services, clock: Clock) -> None:
    declared = DeclareContext(plugin="x", settings=DeliverySettings(overdue=60), deployment="d")
    (check,) = plugin.rolehost_checks(declared)
    assert check.fn(services) == "the oldest delivery is 0 s late"
    fanned_out(services)
    clock.sleep(61)
    with pytest.raises(RuntimeError, match="61 s late"):
        check.fn(services)
