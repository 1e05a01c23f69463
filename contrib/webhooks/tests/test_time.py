"""What happens when time passes, which the test decides."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rolehost.api import DeclareContext
from rolehost_testing.kit import Host
from rolehost_webhooks.actors import recover
from rolehost_webhooks.actors.deliver import deliver
from rolehost_webhooks.actors.fan_out import fan_out
from rolehost_webhooks.actors.retention import BATCH
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import endpoints, messages, recovery
from rolehost_webhooks.errors import Conflict, Impossible, Rejected
from rolehost_webhooks.models import Attempt, Delivery, Message, Status
from rolehost_webhooks.plugins import delivery as plugin
from rolehost_webhooks.repositories import deliveries
from rolehost_webhooks.repositories import messages as repository
from rolehost_webhooks.schemas.endpoints import EndpointIn, EndpointPatch
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.settings import DeliverySettings

from .inprocess import posting, running

HOUR = 3600
DAY = 24 * HOUR

GONE = Answer(410, "", 1)
OK, BUSY, LATE = Answer(204, "", 1), Answer(500, "", 1), Answer(0, "TimeoutError: late", 1)


@pytest.fixture
def here() -> Iterator[Host]:
    with running() as host:
        yield host


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the receiver answers, one by one; nothing leaves this process."""
    given: list[Answer] = []
    monkeypatch.setattr(Sender, "post", posting(lambda *_: given.pop(0)))
    return given


def send(here: Host, **given: Any) -> Message:
    return messages.create(
        here.services, "app", MessageIn(event_type="a", payload=msgspec.Raw(b"{}"), **given)
    )


def test_an_event_id_is_free_again_after_a_day(here: Host) -> None:
    first = send(here, event_id="e")
    here.clock.advance(DAY - 1)
    with pytest.raises(Conflict):
        send(here, event_id="e")
    here.clock.advance(2)
    second = send(here, event_id="e")
    assert messages.get("app", "e").id == second.id
    assert messages.get("app", first.id).event_id == "e"


def test_a_refused_message_leaves_no_job(here: Host) -> None:
    send(here, event_id="e")
    with pytest.raises(Conflict):
        send(here, event_id="e")
    assert [job.actor for job in here.enqueued] == ["webhooks.fan_out"]


def test_a_message_may_wait_before_it_is_fanned_out(here: Host) -> None:
    now = here.clock.now()
    send(here, deliver_at=datetime.fromtimestamp(now / 1000 + HOUR, UTC))
    assert here.assert_enqueued(fan_out).run_at == now + HOUR * 1000
    assert here.drain() == []
    for wrong in (now / 1000, now / 1000 + 2 * DAY):
        with pytest.raises(Rejected):
            send(here, deliver_at=datetime.fromtimestamp(wrong, UTC))


def test_a_message_is_delivered_once_to_each_endpoint_that_listens(
    here: Host, answers: list[Answer]
) -> None:
    other = endpoints.create(here.services, "app", EndpointIn(url="http://other/"))
    deaf = endpoints.create(here.services, "app", EndpointIn(url="http://deaf/", event_types=["b"]))
    answers += [OK, OK]
    message = send(here)
    assert here.drain().names == ["webhooks.fan_out", "webhooks.deliver", "webhooks.deliver"]
    here.assert_enqueued(deliver, message_id=message.id, endpoint_id=other.id)
    here.refute_enqueued(deliver, endpoint_id=deaf.id)
    assert Delivery.select().where(Delivery.message_id == message.id).count() == 2


def test_a_failure_is_tried_again_when_the_record_says_so(
    here: Host, answers: list[Answer]
) -> None:
    answers += [BUSY, OK]
    send(here)
    assert here.drain().outcomes == {"completed": 1, "retrying": 1}
    row, job = Delivery.get(), here.assert_enqueued(deliver)
    assert (row.status, row.next_attempt) == (Status.SENDING, job.run_at)
    assert 4.0 <= (job.run_at - here.clock.now()) / 1000 <= 6.0
    here.drain(with_delays=True)
    assert (here.clock.now(), Delivery.get().status) == (job.run_at, Status.SUCCESS)


def test_the_last_failure_is_a_dead_letter(here: Host, answers: list[Answer]) -> None:
    answers += [LATE] * 8
    send(here)
    here.drain(with_delays=True)
    here.assert_dead(deliver, error="TimeoutError: late")
    assert (Delivery.get().status, answers) == (Status.FAIL, [])


def test_what_a_manual_attempt_delivered_is_not_sent_again(
    here: Host, answers: list[Answer]
) -> None:
    answers += [BUSY, OK]
    message = send(here)
    here.drain()
    messages.resend(here.services, "app", message.id, "ep")
    here.drain()
    assert here.drain(with_delays=True).outcomes == {"completed": 1}
    assert (Delivery.get().status, answers) == (Status.SUCCESS, [])


def test_manual_attempts_that_fail_leave_the_schedule_as_it_was(
    here: Host, answers: list[Answer], caplog: pytest.LogCaptureFixture
) -> None:
    message = send(here)
    answers += [BUSY, BUSY, LATE, BUSY, OK]
    here.drain()
    planned = Delivery.get().next_attempt
    for _ in range(3):
        messages.resend(here.services, "app", message.id, "ep")
    assert here.drain().outcomes == {"completed": 3}
    assert sum("manual attempt failed" in line for line in caplog.messages) == 3
    row = Delivery.get()
    assert (row.status, row.next_attempt, row.attempts) == (Status.SENDING, planned, 4)
    here.drain(with_delays=True)
    assert (here.clock.now(), answers) == (planned, [])
    assert here.drain(with_delays=True) == []
    attempts = Attempt.select(Attempt.trigger).order_by(Attempt.id)
    assert [row.trigger for row in attempts] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(("before", "after"), [(OK, Status.SUCCESS), (GONE, Status.FAIL)])
def test_a_manual_attempt_that_fails_is_not_tried_again_when_the_schedule_is_over(
    here: Host, answers: list[Answer], before: Answer, after: Status
) -> None:
    message = send(here)
    answers += [before, BUSY]
    here.drain()
    messages.resend(here.services, "app", message.id, "ep")
    assert here.drain().outcomes == {"completed": 1}
    assert here.drain(with_delays=True) == []
    assert (Delivery.get().status, Delivery.get().next_attempt) == (after, None)


def test_a_scheduled_attempt_that_fails_late_does_not_undo_a_manual_success(
    here: Host, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = send(here)

    def succeed() -> None:
        deliveries.record_attempt(message.id, Delivery.get().endpoint_id, Status.SUCCESS, None, 1)

    async def post(*_: object) -> Answer:
        await here.services.run(succeed)
        return BUSY

    monkeypatch.setattr(Sender, "post", post)
    here.drain()
    row = Delivery.get()
    assert (row.status, row.next_attempt, row.attempts) == (Status.SUCCESS, None, 2)
    assert here.drain(with_delays=True) == []


def test_recovery_sends_what_failed_and_what_was_cancelled_and_nothing_else(
    here: Host, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover, "BATCH", 2)
    began = here.clock.now()
    answers.append(OK)
    fine = send(here).id
    here.drain()
    answers += [BUSY] * 3
    others = [send(here).id for _ in range(3)]
    here.drain()
    answers.append(GONE)
    here.drain(with_delays=True)
    stood = {row.message_id: row.status for row in Delivery.select()}
    assert stood[fine] == Status.SUCCESS
    [gone] = [one for one in others if stood[one] == Status.FAIL]
    [late, expunged] = [one for one in others if stood[one] == Status.CANCELED]
    messages.expunge(here.services, "app", expunged)
    endpoints.patch(here.services, "app", "ep", EndpointPatch(disabled=False))
    answers += [BUSY, OK, OK]
    for _ in range(2):
        recovery.recover(
            here.services, "app", "ep", datetime.fromtimestamp(began / 1000, UTC), None
        )
    here.drain()
    here.drain(with_delays=True)
    stood = {row.message_id: row.status for row in Delivery.select()}
    assert answers == []
    assert stood == {
        fine: Status.SUCCESS,
        gone: Status.SUCCESS,
        late: Status.SUCCESS,
        expunged: Status.CANCELED,
    }


@pytest.mark.parametrize("loss", ["deleted", "disabled", "expunged"])
def test_a_delivery_that_lost_its_end_or_its_payload_is_cancelled(
    here: Host, answers: list[Answer], loss: str
) -> None:
    answers.append(BUSY)
    message = send(here)
    here.drain()
    if loss == "deleted":
        endpoints.delete(here.services, "app", "ep")
    elif loss == "disabled":
        endpoints.patch(here.services, "app", "ep", EndpointPatch(disabled=True))
    else:
        messages.expunge(here.services, "app", message.id)
    here.drain(with_delays=True)
    row = Delivery.get()
    assert (row.status, row.next_attempt) == (Status.CANCELED, None)


def test_a_disabled_endpoint_can_still_be_sent_to_by_hand(
    here: Host, answers: list[Answer]
) -> None:
    answers += [BUSY, OK]
    message = send(here)
    here.drain()
    endpoints.patch(here.services, "app", "ep", EndpointPatch(disabled=True))
    messages.resend(here.services, "app", message.id, "ep")
    here.drain()
    assert Delivery.get().status == Status.SUCCESS


def test_an_expunged_message_cannot_be_sent_again(here: Host, answers: list[Answer]) -> None:
    answers.append(OK)
    message = send(here)
    here.drain()
    messages.expunge(here.services, "app", message.id)
    with pytest.raises(Impossible):
        messages.resend(here.services, "app", message.id, "ep")


def test_retention_runs_until_nothing_old_is_left(here: Host, answers: list[Answer]) -> None:
    answers.append(OK)
    with here.unit_of_work():
        for number in range(BATCH + 1):
            old = Message(id=f"msg_0{number:04}", app_id="a", event_type="a", created_at=1)
            repository.insert(old)
    kept = send(here, payload_retention_hours=1)
    here.drain()
    here.clock.advance(2 * HOUR)
    here.tick("webhooks.retention")
    assert here.drain().outcomes == {"snoozed": 1}
    assert here.drain(with_delays=True).outcomes == {"completed": 1}
    (left,) = Message.select()
    assert (left.id, left.payload) == (kept.id, None)


def test_the_backlog_check_fails_when_deliveries_are_late(
    here: Host, answers: list[Answer]
) -> None:
    declared = DeclareContext(plugin="x", settings=DeliverySettings(overdue=60), deployment="d")
    (check,) = plugin.rolehost_checks(declared)
    assert check.fn(here.services) == "the oldest delivery is 0 s late"
    answers.append(BUSY)
    send(here)
    here.drain()
    here.clock.move_to(Delivery.get().next_attempt + 61_000)
    with pytest.raises(RuntimeError, match="61 s late"):
        check.fn(here.services)


def test_an_endpoint_gets_no_more_attempts_than_its_rate(here: Host, answers: list[Answer]) -> None:
    endpoints.patch(here.services, "app", "ep", EndpointPatch(throttle_rate=2))
    answers += [OK] * 7
    for _ in range(7):
        send(here)
    left = []
    for _ in range(4):
        here.drain()
        left.append(len(answers))
        here.clock.advance(1)
    assert left == [5, 3, 1, 0]


def test_a_changed_rate_applies_to_waiting_deliveries(here: Host, answers: list[Answer]) -> None:
    endpoints.patch(here.services, "app", "ep", EndpointPatch(throttle_rate=1))
    answers += [OK] * 5
    for _ in range(5):
        send(here)
    here.drain()
    assert len(answers) == 4
    endpoints.patch(here.services, "app", "ep", EndpointPatch(throttle_rate=None))
    here.clock.advance(1)
    here.drain()
    assert not answers


def test_a_deleted_endpoint_leaves_no_limit(here: Host) -> None:
    endpoints.create(
        here.services, "app", EndpointIn(url="http://receiver/", uid="slow", throttle_rate=3)
    )

    def limits() -> list[str]:
        with here.services.database.session():
            rows = here.services.database.read("SELECT name FROM rolehost_limits")
        return [name for (name,) in rows if name.startswith("partition:")]

    assert len(limits()) == 1
    endpoints.delete(here.services, "app", "slow")
    assert limits() == []
