"""What messages and deliveries read from the cache is never out of date, in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import peewee
import pytest
from rolehost_embedded.cache import EmbeddedCache
from rolehost_testing.kit import Host, open_host
from rolehost_testing.memory.cache import MemoryCache
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import applications, endpoints, messages
from rolehost_webhooks.errors import NotFound
from rolehost_webhooks.models import Application, Endpoint
from rolehost_webhooks.repositories import cached
from rolehost_webhooks.schemas.applications import ApplicationIn, ApplicationPatch
from rolehost_webhooks.schemas.endpoints import (
    EndpointIn,
    EndpointPatch,
    EndpointPut,
    HeadersPatch,
    SecretRotateIn,
)
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.signing import new_secret, signature

from .inprocess import posting

OK = Answer(204, "", 1)

Change = Callable[[Any], Any]


class Processes:
    """Two processes of one deployment: one takes changes and messages, the other delivers."""

    def __init__(self, api: Host, worker: Host, sent: list[tuple[str, dict[str, str], bytes]]):
        self.api = api
        self.worker = worker
        self.sent = sent

    def send(self, app: str = "app", event_type: str = "a") -> list[str]:
        """Take a message, deliver it, and return the URLs that it was sent to."""
        before = len(self.sent)
        body = MessageIn(event_type=event_type, payload=msgspec.Raw(b"{}"))
        messages.create(self.api.services, app, body)
        self.worker.drain()
        return [url for url, *_ in self.sent[before:]]

    def change(self, change: Change) -> None:
        """Change something in the process that delivers nothing."""
        change(self.api.services)


@contextmanager
def processes(sent: list[Any], cache: str, *, secrets: bool = False) -> Iterator[Processes]:
    """Start both, with an application that has an endpoint, both of which are cached already.

    Args:
        cache: ``embedded``: one in the memory of each process; ``memory``: one that they share.
        secrets: whether a shared one may hold secrets.
    """
    options: Any = {
        "backends": ("memory", "embedded"),
        "settings": {
            "storage": {"cache": cache},
            "webhooks-delivery": {"cache_secrets": secrets},
        },
    }
    plugins = ("webhooks-api", "webhooks-delivery")
    with (
        open_host(plugins, **options) as api,
        open_host(plugins, beside=api, name="other", **options) as worker,
    ):
        applications.create(api.services, ApplicationIn(name="x", uid="app"))
        endpoints.create(api.services, "app", EndpointIn(url="http://old/", uid="ep"))
        both = Processes(api, worker, sent)
        assert both.send() == ["http://old/"]
        assert both.send() == ["http://old/"]
        yield both


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was posted; nothing leaves this process."""
    posted: list[Any] = []

    def post(_sender: Sender, *request: Any) -> Answer:
        posted.append(request)
        return OK

    monkeypatch.setattr(Sender, "post", posting(post))
    return posted


@pytest.fixture(params=["embedded", "memory", "memory with secrets"])
def both(request: pytest.FixtureRequest, sent: list[Any]) -> Iterator[Processes]:
    cache, _, secrets = request.param.partition(" ")
    with processes(sent, cache, secrets=bool(secrets)) as running:
        yield running


URL = "http://new/"

CHANGES: dict[str, tuple[Change, list[str]]] = {
    "patched": (
        lambda services: endpoints.patch(services, "app", "ep", EndpointPatch(url=URL)),
        [URL],
    ),
    "put": (lambda services: endpoints.put(services, "app", "ep", EndpointPut(url=URL)), [URL]),
    "disabled": (
        lambda services: endpoints.patch(services, "app", "ep", EndpointPatch(disabled=True)),
        [],
    ),
    "filtered": (
        lambda services: endpoints.patch(services, "app", "ep", EndpointPatch(event_types=["b"])),
        [],
    ),
    "deleted": (lambda services: endpoints.delete(services, "app", "ep"), []),
    "joined": (
        lambda services: endpoints.create(services, "app", EndpointIn(url=URL)),
        ["http://old/", URL],
    ),
}


@pytest.mark.parametrize(("change", "urls"), CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_endpoint_is_seen_by_the_next_delivery(
    both: Processes, change: Change, urls: list[str]
) -> None:
    both.change(change)
    assert sorted(both.send()) == sorted(urls)


def test_a_rotated_secret_signs_the_next_delivery_alone(both: Processes) -> None:
    secret = new_secret()
    body = SecretRotateIn(key=secret, grace_period_seconds=0)
    both.change(lambda services: endpoints.rotate_secret(services, "app", "ep", body))
    both.send()
    _, headers, payload = both.sent[-1]
    stamp = int(headers["webhook-timestamp"])
    expected = signature([secret], headers["webhook-id"], stamp, payload)
    assert headers["webhook-signature"] == expected


def test_an_old_secret_ceases_to_sign_when_its_grace_ends(both: Processes) -> None:
    body = SecretRotateIn(grace_period_seconds=60)
    both.change(lambda services: endpoints.rotate_secret(services, "app", "ep", body))
    both.send()
    assert len(both.sent[-1][1]["webhook-signature"].split()) == 2
    both.api.clock.advance(61)
    both.send()
    assert len(both.sent[-1][1]["webhook-signature"].split()) == 1


def test_changed_headers_are_sent_with_the_next_delivery(both: Processes) -> None:
    both.change(lambda services: endpoints.set_headers(services, "app", "ep", {"x-a": "1"}))
    both.send()
    assert both.sent[-1][1]["x-a"] == "1"
    patch = HeadersPatch(headers={"x-a": "2"})
    both.change(lambda services: endpoints.patch_headers(services, "app", "ep", patch))
    both.send()
    assert both.sent[-1][1]["x-a"] == "2"


def test_a_deleted_application_takes_no_message_and_gets_no_delivery(both: Processes) -> None:
    body = MessageIn(event_type="a", payload=msgspec.Raw(b"{}"))
    messages.create(both.api.services, "app", body)
    before = len(both.sent)
    applications.delete(both.worker.services, "app")
    assert both.worker.drain()
    assert len(both.sent) == before
    with pytest.raises(NotFound):
        both.send()


def test_a_uid_that_moves_to_another_application_takes_the_messages_with_it(
    both: Processes,
) -> None:
    services = both.worker.services
    applications.patch(services, "app", ApplicationPatch(uid="former"))
    applications.create(services, ApplicationIn(name="y", uid="app"))
    endpoints.create(services, "app", EndpointIn(url=URL))
    assert both.send() == [URL]
    assert both.send("former") == ["http://old/"]


def test_an_endpoint_that_answers_gone_gets_nothing_more(
    both: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sender, "post", posting(lambda *_: Answer(410, "", 1)))
    both.send()
    monkeypatch.undo()
    assert both.send() == []


def test_a_change_that_is_rolled_back_leaves_nothing_in_the_cache(both: Processes) -> None:
    def revision() -> int:
        with both.api.services.database.session():
            return int(Application.get().revision)

    before = revision()
    with pytest.raises(RuntimeError), both.api.unit_of_work():
        endpoints.patch(both.api.services, "app", "ep", EndpointPatch(url=URL))
        renewed = Application.get()
        [recipient] = cached.recipients(both.api.services, renewed.id, renewed.revision)
        assert recipient.event_types is None
        raise RuntimeError
    assert revision() == before
    both.change(CHANGES["filtered"][0])
    assert both.send() == []


@pytest.mark.parametrize(
    ("cache", "secrets", "held"),
    [("embedded", False, True), ("memory", False, False), ("memory", True, True)],
)
def test_secrets_leave_the_process_only_if_the_operator_says_so(
    sent: list[Any], monkeypatch: pytest.MonkeyPatch, cache: str, secrets: bool, held: bool
) -> None:
    kept: list[bytes] = []
    for kind in (EmbeddedCache, MemoryCache):

        def keeping(
            self: Any, key: str, value: bytes, *rest: Any, original: Any = kind.set
        ) -> None:
            kept.append(value)
            original(self, key, value, *rest)

        monkeypatch.setattr(kind, "set", keeping)
    with processes(sent, cache, secrets=secrets) as both:
        headers = {"authorization": "Bearer of-the-target"}
        endpoints.set_headers(both.api.services, "app", "ep", headers)
        both.send()
        with both.api.services.database.session():
            secret = Endpoint.get().secret.encode()
    assert kept
    for confidential in (secret, b"of-the-target"):
        assert any(confidential in value for value in kept) == held


def test_a_receiver_does_not_show_its_secrets() -> None:
    target = cached.Target("app_1", URL, {"x-key": "k"}, False, False, "whsec_s", [])
    assert repr(target) == "<target of app_1>"


def test_a_message_costs_three_queries_less(
    sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = peewee.Database.execute_sql

    def counting(self: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT"):
            asked.append(sql)
        return execute(self, sql, *rest)

    monkeypatch.setattr(peewee.Database, "execute_sql", counting)
    counts = {}
    for cache in ("embedded", "none"):
        with processes(sent, "embedded") as both:
            if cache == "none":
                monkeypatch.setattr(type(both.api.services), "backends", {})
            asked.clear()
            both.send()
            counts[cache] = len(asked)
    assert counts["none"] - counts["embedded"] == 3
