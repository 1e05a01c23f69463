"""Two changes at once, each in a transaction of its own: both take effect on PostgreSQL.

On SQLite one transaction writes at a time, so that there is nothing to interleave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from rolehost_testing.kit import Host, open_host
from rolehost_webhooks import ids
from rolehost_webhooks.domain import applications, endpoints, event_types, messages
from rolehost_webhooks.models import Application, Endpoint, EventType, Message
from rolehost_webhooks.repositories import ordering
from rolehost_webhooks.schemas.applications import ApplicationIn, ApplicationPatch
from rolehost_webhooks.schemas.endpoints import (
    EndpointIn,
    EndpointPatch,
    EndpointPut,
    HeadersPatch,
    SecretRotateIn,
)
from rolehost_webhooks.schemas.event_types import EventTypeIn, EventTypePatch, EventTypePut
from rolehost_webhooks.schemas.messages import MessageIn

pytestmark = pytest.mark.engine

Change = Callable[[Any], Any]

URL = "http://receiver/"


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[Host]:
    with open_host(
        ("webhooks-api", "webhooks-delivery"),
        backends=("postgres", "memory"),
        settings={"postgres": {"url": postgres_url}},
    ) as host:
        yield host


@pytest.fixture
def here(served: Host) -> Host:
    with served.unit_of_work():
        for model in (Message, Endpoint, EventType, Application):
            model.delete().execute()
    applications.create(served.services, ApplicationIn(name="x", uid="app"))
    endpoints.create(served.services, "app", EndpointIn(url=URL, uid="ep"))
    event_types.create(served.services, EventTypeIn(name="type", description=""))
    return served


def at_once(here: Host, first: Change, second: Change) -> tuple[Any, Any]:
    """Run two changes: the second reads before the first has committed, or waits for it."""
    services = here.services

    def other() -> Any:
        with services.database.session():
            return second(services)

    with ThreadPoolExecutor(1) as pool:
        with services.unit_of_work():
            one = first(services)
            two = pool.submit(other)
            until_it_waits_or_ends(here, two)
        return one, two.result(10)


#: Transactions that wait for the one that asks; other tests use the same server.
BLOCKED = (
    "SELECT count(*) FROM pg_locks"
    " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)


def until_it_waits_or_ends(here: Host, future: Future[Any]) -> None:
    deadline = time.monotonic() + 10
    while not future.done():
        waiting = here.services.database.read(BLOCKED)
        if waiting[0][0]:
            return
        assert time.monotonic() < deadline
        time.sleep(0.005)


def message(**given: Any) -> MessageIn:
    return MessageIn(
        event_type="a",
        payload=msgspec.Raw(b"{}"),
        application=ApplicationIn(name="new", uid="new"),
        **given,
    )


def test_headers(here: Host) -> None:
    def adding(name: str) -> Change:
        patch = HeadersPatch(headers={name: "1"})
        return lambda services: endpoints.patch_headers(services, "app", "ep", patch)

    at_once(here, adding("a"), adding("b"))
    assert endpoints.get("app", "ep").headers == {"a": "1", "b": "1"}


def test_rotations(here: Host) -> None:
    first = endpoints.get("app", "ep").secret

    def rotate(services: Any) -> str:
        return endpoints.rotate_secret(services, "app", "ep", SecretRotateIn())

    one, two = at_once(here, rotate, rotate)
    row = endpoints.get("app", "ep")
    assert [row.secret, *[old["key"] for old in row.old_secrets]] == [two, one, first]


def test_a_rotation_and_headers_and_a_patch(here: Host) -> None:
    at_once(
        here,
        lambda services: endpoints.rotate_secret(services, "app", "ep", SecretRotateIn()),
        lambda services: endpoints.set_headers(services, "app", "ep", {"a": "1"}),
    )
    at_once(
        here,
        lambda services: endpoints.patch(services, "app", "ep", EndpointPatch(description="d")),
        lambda services: endpoints.patch(services, "app", "ep", EndpointPatch(disabled=True)),
    )
    row = endpoints.get("app", "ep")
    assert (row.headers, row.description, bool(row.disabled)) == ({"a": "1"}, "d", True)
    assert len(row.old_secrets) == 1


def test_first_messages_that_bring_their_application(here: Host) -> None:
    one, two = at_once(
        here,
        lambda services: messages.create(services, "new", message()),
        lambda services: messages.create(services, "new", message()),
    )
    assert one.app_id == two.app_id
    assert Application.select().where(Application.uid == "new").count() == 1


def test_applications_of_one_uid(here: Host) -> None:
    def create(services: Any) -> tuple[Application, bool]:
        body = ApplicationIn(name="n", uid="new")
        return applications.create(services, body, get_if_exists=True)

    (one, made), (two, again) = at_once(here, create, create)
    assert (one.id, made, again) == (two.id, True, False)


@pytest.mark.parametrize("uid", ["new", "app"])
def test_applications_that_are_replaced(here: Host, uid: str) -> None:
    def putting(name: str) -> Change:
        return lambda services: applications.put(services, uid, ApplicationIn(name=name, uid=uid))

    (one, _), (two, made) = at_once(here, putting("one"), putting("two"))
    assert (one.id, made) == (two.id, False)
    assert applications.get(uid).name == "two"


def test_applications_that_are_patched(here: Host) -> None:
    at_once(
        here,
        lambda services: applications.patch(services, "app", ApplicationPatch(name="new")),
        lambda services: applications.patch(services, "app", ApplicationPatch(metadata={"a": "b"})),
    )
    row = applications.get("app")
    assert (row.name, row.metadata) == ("new", {"a": "b"})


@pytest.mark.parametrize("uid", ["new", "ep"])
def test_endpoints_that_are_replaced(here: Host, uid: str) -> None:
    def putting(text: str) -> Change:
        body = EndpointPut(url=URL, description=text, uid=uid)
        return lambda services: endpoints.put(services, "app", uid, body)

    (one, _), (two, made) = at_once(here, putting("one"), putting("two"))
    assert (one.id, made) == (two.id, False)
    assert endpoints.get("app", uid).description == "two"


@pytest.mark.parametrize("name", ["new", "type"])
def test_event_types_that_are_replaced(here: Host, name: str) -> None:
    def putting(text: str) -> Change:
        return lambda services: event_types.put(services, name, EventTypePut(description=text))

    _, (_, made) = at_once(here, putting("one"), putting("two"))
    assert (event_types.get(name).description, made) == ("two", False)


def test_event_types_that_are_patched(here: Host) -> None:
    at_once(
        here,
        lambda services: event_types.patch(services, "type", EventTypePatch(description="new")),
        lambda services: event_types.patch(services, "type", EventTypePatch(deprecated=True)),
    )
    row = event_types.get("type")
    assert (row.description, bool(row.deprecated)) == ("new", True)


def test_an_endpoint_is_not_left_behind_by_a_deleted_application(here: Host) -> None:
    from rolehost_webhooks.errors import NotFound

    with pytest.raises(NotFound):
        at_once(
            here,
            lambda services: applications.delete(services, "app"),
            lambda services: endpoints.create(services, "app", EndpointIn(url=URL)),
        )
    assert Endpoint.select().where(Endpoint.deleted_at.is_null()).count() == 0


def test_messages_that_see_the_same_highest_id_get_different_ids(here: Host) -> None:
    def create(services: Any) -> str:
        body = MessageIn(event_type="a", payload=msgspec.Raw(b"{}"))
        return messages.create(services, "app", body).id

    # A row of a clock that is ahead: both new ids must be counted from it.
    with here.unit_of_work():
        ahead = ids.first_at(ids.MESSAGE, here.services.clock.now() + ordering.AHEAD // 2)
        Message.update(id=ahead).where(Message.id == create(here.services)).execute()
    one, two = at_once(here, create, create)
    assert len({ahead, one, two}) == 3
    assert ahead < min(one, two)
