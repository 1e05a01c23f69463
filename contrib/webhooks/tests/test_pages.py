"""Pages of listings: bounded in rows and in bytes, and nothing is missed between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from rolehost_testing.kit import Host, open_host
from rolehost_webhooks import ids
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import applications, endpoints, event_types, messages
from rolehost_webhooks.models import Message
from rolehost_webhooks.repositories import messages as repository
from rolehost_webhooks.repositories import ordering, paging
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn
from rolehost_webhooks.schemas.event_types import EventTypeIn
from rolehost_webhooks.schemas.messages import MessageIn

from .inprocess import posting

ROWS = 7
BYTES = 10_000

BACKENDS = ["memory", pytest.param("postgres", marks=pytest.mark.engine)]


@pytest.fixture(scope="module", params=BACKENDS)
def here(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Seven rows of 4 kB of each kind, with pages of 10 kB."""
    options: dict[str, Any] = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        options = {"backends": ("postgres", "memory"), "settings": {"postgres": {"url": url}}}
    plugins = ("graphql", "webhooks-api", "webhooks-delivery")
    large = "x" * 4000
    with pytest.MonkeyPatch.context() as patch, open_host(plugins, **options) as host:
        patch.setattr(paging, "PAGE_BYTES", BYTES)
        patch.setattr("rolehost_webhooks.graphql.loaders.PAGE_BYTES", BYTES)
        patch.setattr("rolehost_webhooks.graphql.paging.PAGE_BYTES", BYTES)
        patch.setattr(Sender, "post", posting(lambda *_: Answer(200, large, 1)))
        services = host.services
        for number in range(ROWS):
            uid = f"app{number}"
            applications.create(services, ApplicationIn(name=large, uid=uid))
            endpoint = EndpointIn(url="http://receiver/", uid=f"ep{number}", description=large)
            endpoints.create(services, "app0", endpoint)
            event_types.create(services, EventTypeIn(name=f"e{number}", description=large))
            body = MessageIn(event_type="a", payload=msgspec.Raw(b'{"a":"%s"}' % large.encode()))
            messages.create(services, "app0", body)
            host.clock.advance(1)
        host.drain()
        yield host


LISTINGS = {
    "app": ROWS,
    "app/app0/endpoint": ROWS,
    "event-type": ROWS,
    "app/app0/msg": ROWS,
    "app/app0/attempt/endpoint/ep0?with_content=true": 1,
    "app/app0/attempt/endpoint/ep0?with_msg=true": 1,
    "app/app0/msg/{msg}/endpoint": 0,
    "app/app0/attempt/msg/{msg}": 0,
    "app/app0/endpoint/ep0/msg?with_content=true": 1,
}


def walk(here: Host, path: str, order: str, limit: int) -> list[list[str]]:
    """Return the ids of every page, in the order in which they were got."""
    pages: list[list[str]] = []
    iterator = ""
    while True:
        mark = "&" if "?" in path else "?"
        more = f"{mark}limit={limit}&order={order}" + (f"&iterator={iterator}" if iterator else "")
        answer = here.client.get(f"/api/v1/{path}{more}")
        assert answer.status == 200, answer
        pages.append([row.get("id") or row["name"] for row in answer.json["data"]])
        assert len(answer.body) < BYTES + 2 * 6000
        if answer.json["done"]:
            return pages
        iterator = answer.json["iterator"]
        assert iterator


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("path", LISTINGS)
def test_a_page_ends_at_its_bytes_and_the_next_one_goes_on(
    here: Host, path: str, order: str
) -> None:
    first = here.client.get("/api/v1/app/app0/msg?order=ascending").json["data"][0]["id"]
    path = path.replace("{msg}", first)
    at_once = here.client.get(f"/api/v1/{path}").json["data"]
    pages = walk(here, path, order, 250)
    ids = [name for page in pages for name in page]
    assert ids == sorted(ids, reverse=order == "descending")
    assert len(ids) == len(set(ids))
    if LISTINGS[path.replace(first, "{msg}")] == ROWS:
        assert [len(page) for page in pages] == [3, 3, 1]
        assert len(at_once) == 3
    one_by_one = walk(here, path, order, 1)
    assert [page[0] for page in one_by_one if page] == ids


def test_a_row_larger_than_a_page_is_a_page(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 100)
    pages = walk(here, "app/app0/msg", "ascending", 250)
    assert [len(page) for page in pages] == [1] * ROWS


def test_without_payloads_a_page_has_as_many_rows_as_wanted(here: Host) -> None:
    pages = walk(here, "app/app0/msg?with_content=false", "ascending", 250)
    assert [len(page) for page in pages] == [ROWS]


def test_going_back_gives_the_page_before(here: Host) -> None:
    path = "/api/v1/app/app0/msg?order=ascending"
    first = here.client.get(path).json
    second = here.client.get(f"{path}&iterator={first['iterator']}").json
    back = here.client.get(f"{path}&iterator={second['prevIterator']}").json
    assert back["data"] == first["data"]


def test_graphql_has_the_same_bounds(here: Host) -> None:
    query = """{
        applications(first: 250) { nodes { id } pageInfo { hasNextPage } }
        nested: application(id: "app0") {
            endpoints(first: 250) { nodes { id } pageInfo { hasNextPage endCursor } }
        }
    }"""
    answer = here.client.post("/graphql", json={"query": query}).json
    found = answer["data"]
    assert len(found["applications"]["nodes"]) == 3
    assert found["applications"]["pageInfo"]["hasNextPage"]
    assert len(found["nested"]["endpoints"]["nodes"]) == 3
    assert found["nested"]["endpoints"]["pageInfo"]["hasNextPage"]
    payloads = '{ messages(application: "app0", first: %d) { nodes { payload } } }'
    answer = here.client.post("/graphql", json={"query": payloads % 3}).json
    assert len(answer["data"]["messages"]["nodes"]) == 3
    answer = here.client.post("/graphql", json={"query": payloads % 4}).json
    assert answer["data"] is None
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


def test_graphql_bounds_the_pages_of_several_parents_together(here: Host) -> None:
    for number in range(2):
        endpoint = EndpointIn(url="http://receiver/", description="x" * 4000)
        endpoints.create(here.services, f"app{number + 1}", endpoint)
    query = "{ applications(first: 3) { nodes { endpoints(first: 9) { nodes { id }"
    query += " pageInfo { hasNextPage } } } } }"
    nodes = here.client.post("/graphql", json={"query": query}).json["data"]["applications"]
    pages = [node["endpoints"] for node in nodes["nodes"]]
    assert [len(page["nodes"]) for page in pages] == [1, 1, 1]
    assert [page["pageInfo"]["hasNextPage"] for page in pages] == [True, False, False]


# --- while rows are added -----------------------------------------------------------------------


@pytest.fixture(params=BACKENDS)
def empty(request: pytest.FixtureRequest) -> Iterator[Host]:
    options: dict[str, Any] = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        options = {"backends": ("postgres", "memory"), "settings": {"postgres": {"url": url}}}
    with open_host(("webhooks-api", "webhooks-delivery"), **options) as host:
        applications.create(host.services, ApplicationIn(name="x", uid="app"))
        yield host


def add(host: Host) -> str:
    body = MessageIn(event_type="a", payload=msgspec.Raw(b"{}"))
    return str(messages.create(host.services, "app", body).id)


def test_ids_grow_within_one_moment_and_between_processes(empty: Host) -> None:
    other = open_host(("webhooks-api", "webhooks-delivery"), beside=empty, name="other", seed=8)
    with other as beside:
        made = [add(each) for _ in range(10) for each in (empty, beside)]
    assert made == sorted(made)
    first = applications.create(empty.services, ApplicationIn(name="x"))[0].id
    assert first < applications.create(empty.services, ApplicationIn(name="x"))[0].id


def test_names_that_begin_with_a_hyphen_are_walked_both_ways(empty: Host) -> None:
    names = ["-", "--", "-a", "-b", "...", "a", "b"]
    for name in names:
        event_types.create(empty.services, EventTypeIn(name=name, description=""))
    for order in ("ascending", "descending"):
        path, seen, back = f"/api/v1/event-type?order={order}&limit=1", list[str](), ""
        iterator = ""
        for _ in names:
            answer = empty.client.get(path + iterator).json
            seen += [each["name"] for each in answer["data"]]
            iterator, back = f"&iterator={answer['iterator']}", answer["prevIterator"]
        assert (seen, answer["done"]) == (sorted(names, reverse=order == "descending"), True)
        for name in reversed(seen[:-1]):
            answer = empty.client.get(f"{path}&iterator={back}").json
            assert [each["name"] for each in answer["data"]] == [name]
            back = answer["prevIterator"]


def test_a_walk_misses_nothing_that_is_added_meanwhile(empty: Host) -> None:
    path, made, seen, iterator = "/api/v1/app/app/msg?order=ascending&limit=2", [add(empty)], [], ""
    for _ in range(20):
        answer = empty.client.get(path + iterator).json
        seen += [row["id"] for row in answer["data"]]
        iterator = f"&iterator={answer['iterator']}"
        made += [add(empty), add(empty)]
    while (answer := empty.client.get(path + iterator).json)["data"]:
        seen += [row["id"] for row in answer["data"]]
        iterator = f"&iterator={answer['iterator']}"
    assert seen == made


def test_a_clock_that_was_wrong_once_does_not_date_later_ids(empty: Host) -> None:
    now = empty.clock.now()
    with empty.unit_of_work():
        far = ids.last_at(ids.MESSAGE, now + 10**10)
        repository.insert(Message(id=far, app_id="a", event_type="a", created_at=now))
    made = [add(empty), add(empty)]
    assert made == sorted(made)
    assert made[-1] < ids.last_at(ids.MESSAGE, now + 1)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Host]:
    with open_host(
        ("webhooks-api", "webhooks-delivery"),
        backends=("postgres", "memory"),
        settings={"postgres": {"url": postgres_url}},
    ) as host:
        applications.create(host.services, ApplicationIn(name="x", uid="app"))
        yield host


def in_another_transaction(host: Host) -> str:
    """Add a message, and commit it, in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(add, host).result(10)


@pytest.mark.engine
def test_a_listing_waits_for_an_earlier_row_that_is_not_committed(postgres: Host) -> None:
    path = "/api/v1/app/app/msg?order=ascending"
    looked = threading.Event()
    pause = ordering.time.sleep

    def sleep(seconds: float) -> None:
        looked.set()
        pause(seconds)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering.time, "sleep", sleep)
        with postgres.unit_of_work():
            first = add(postgres)
            postgres.clock.advance(1)
            second = in_another_transaction(postgres)
            listing = pool.submit(postgres.client.get, path)
            assert looked.wait(10)
            assert not listing.done()
        assert [row["id"] for row in listing.result(10).json["data"]] == [first, second]


@pytest.mark.engine
def test_a_transaction_that_does_not_end_holds_a_listing_up_for_a_while_only(
    postgres: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "WRITERS_TIMEOUT", 0.05)
    with postgres.unit_of_work():
        add(postgres)
        postgres.clock.advance(1)
        second = in_another_transaction(postgres)
        with ThreadPoolExecutor(1) as pool:
            listing = pool.submit(postgres.client.get, "/api/v1/app/app/msg").result(10)
    assert [row["id"] for row in listing.json["data"]] == [second]
