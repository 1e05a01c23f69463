"""The events about ended deliveries, on the topic of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rolehost.api import DeclareContext
from rolehost_testing.kit import Host
from rolehost_webhooks import outcomes
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.delivery.verdict import Verdict
from rolehost_webhooks.domain import messages
from rolehost_webhooks.models import Attempt, Status
from rolehost_webhooks.plugins import delivery as plugin
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.settings import DeliverySettings

from .inprocess import posting, running

ATTEMPT = Attempt(
    id="atmpt_1",
    app_id="app_1",
    message_id="msg_1",
    endpoint_id="ep_1",
    response_status=200,
    duration=250,
    created_at=1_800_000_000_000,
)


@pytest.fixture
def here() -> Iterator[Host]:
    with running(outcomes="told") as host:
        yield host


def told(verdict: Verdict, number: int = 1) -> list[tuple[str, dict[str, Any]]]:
    events = outcomes.events("told", ATTEMPT, verdict, number=number)
    return [(event.type, event.data) for event in events]


def test_success_and_the_last_failure_are_told_with_their_attempt() -> None:
    data = {
        "appId": "app_1",
        "endpointId": "ep_1",
        "msgId": "msg_1",
        "lastAttempt": {
            "id": "atmpt_1",
            "responseStatusCode": 200,
            "timestamp": "2027-01-15T08:00:00.250Z",
        },
    }
    assert told(Verdict(Status.SUCCESS)) == [("message.attempt.succeeded", data)]
    assert told(Verdict(Status.FAIL, "late")) == [("message.attempt.exhausted", data)]


def test_an_endpoint_that_is_gone_is_told_after_its_message() -> None:
    kinds = [kind for kind, _ in told(Verdict(Status.FAIL, "gone", disable=True))]
    assert kinds == ["message.attempt.exhausted", "endpoint.disabled"]


def test_nothing_is_told_of_an_attempt_that_another_follows() -> None:
    assert told(Verdict(Status.SENDING, "busy", delay=5.0)) == []


def test_the_fourth_failure_is_told_once_and_so_is_the_recovery() -> None:
    retried = Verdict(Status.SENDING, "busy", delay=5.0)
    kinds = [[kind for kind, _ in told(retried, number)] for number in range(1, 7)]
    assert kinds == [[], [], [], ["message.attempt.failing"], [], []]
    for number, recovered in ((4, []), (5, ["message.attempt.recovered"])):
        told_then = [kind for kind, _ in told(Verdict(Status.SUCCESS), number)]
        assert told_then == ["message.attempt.succeeded", *recovered]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the receiver answers, one by one."""
    given: list[Answer] = []
    monkeypatch.setattr(Sender, "post", posting(lambda *_: given.pop(0)))
    return given


def send(here: Host, event_type: str) -> str:
    message = MessageIn(event_type=event_type, payload=msgspec.Raw(b"{}"))
    return str(messages.create(here.services, "app", message).id)


def test_what_is_told_commits_with_the_delivery(here: Host, answers: list[Answer]) -> None:
    answers += [Answer(503, "", 1), Answer(200, "", 1)]
    sent = send(here, "a")
    here.drain()
    here.refute_published("told")
    with here.fail_at("work.before_commit", kill=True):
        here.drain(with_delays=True)
    here.restart()
    here.refute_published("told")
    answers.append(Answer(200, "", 1))
    here.drain(with_delays=True)
    here.assert_published("told", type="message.attempt.succeeded", msgId=sent)


@pytest.mark.parametrize("event_type", sorted(outcomes.TYPES))
def test_of_a_message_that_is_an_outcome_nothing_is_told(
    here: Host, answers: list[Answer], event_type: str
) -> None:
    answers.append(Answer(200, "", 1))
    send(here, event_type)
    here.drain()
    here.refute_published("told")
    assert answers == []


def test_the_topic_is_declared_only_where_the_settings_name_one() -> None:
    def topics(settings: DeliverySettings) -> list[str]:
        context = DeclareContext(plugin="x", settings=settings, deployment="test")
        return plugin.rolehost_topics(context)

    assert topics(DeliverySettings()) == []
    assert topics(DeliverySettings(outcomes="told")) == ["told"]
