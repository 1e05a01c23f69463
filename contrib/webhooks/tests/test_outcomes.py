"""What is told of deliveries that have ended, on the topic of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rolehost.api import DeclareContext, Services
from rolehost_webhooks import outcomes
from rolehost_webhooks.actors.deliver import deliver
from rolehost_webhooks.actors.fan_out import fan_out
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.delivery.verdict import Verdict
from rolehost_webhooks.models import Attempt, Status
from rolehost_webhooks.plugins import delivery as plugin
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.services import applications, endpoints, messages
from rolehost_webhooks.settings import DeliverySettings

from .inprocess import Clock, Job, running

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
def services(tmp_path: Path) -> Iterator[Services]:
    with running(tmp_path, Clock(), '[webhooks-delivery]\noutcomes = "told"\n') as services:
        applications.create(services, ApplicationIn(name="x", uid="app"))
        endpoints.create(services, "app", EndpointIn(url="http://receiver/", uid="ep"))
        yield services


def told(verdict: Verdict) -> list[tuple[str, dict[str, Any]]]:
    return [(event.type, event.data) for event in outcomes.events("told", ATTEMPT, verdict)]


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


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the receiver answers, one by one."""
    given: list[Answer] = []
    monkeypatch.setattr(Sender, "post", lambda *_: given.pop(0))
    return given


def send(services: Services, event_type: str) -> str:
    message = MessageIn(event_type=event_type, payload=msgspec.Raw(b"{}"))
    sent = messages.create(services, "app", message)
    fan_out(Job(services), sent.id)
    return str(sent.id)


def outbox(services: Services) -> list[tuple[Any, ...]]:
    return list(services.database.read("SELECT topic, value FROM rolehost_outbox"))


def test_what_is_told_commits_with_the_delivery(services: Services, answers: list[Answer]) -> None:
    answers += [Answer(503, "", 1), Answer(200, "", 1)]
    sent = send(services, "a")
    endpoint = endpoints.get("app", "ep")
    deliver(Job(services), sent, endpoint.id)
    assert outbox(services) == []
    deliver(Job(services, attempt=2), sent, endpoint.id)
    ((topic, value),) = outbox(services)
    assert topic == "told"
    assert json.loads(value)["msgId"] == sent


@pytest.mark.parametrize("event_type", sorted(outcomes.TYPES))
def test_of_a_message_that_is_an_outcome_nothing_is_told(
    services: Services, answers: list[Answer], event_type: str
) -> None:
    answers.append(Answer(200, "", 1))
    deliver(Job(services), send(services, event_type), endpoints.get("app", "ep").id)
    assert outbox(services) == []


def test_the_topic_is_declared_only_where_the_settings_name_one() -> None:
    def topics(settings: DeliverySettings) -> list[str]:
        context = DeclareContext(plugin="x", settings=settings, deployment="test")
        return plugin.rolehost_topics(context)

    assert topics(DeliverySettings()) == []
    assert topics(DeliverySettings(outcomes="told")) == ["told"]
