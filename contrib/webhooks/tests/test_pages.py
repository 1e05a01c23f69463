"""Pages of listings: bounded in rows and in bytes, and nothing is missed between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rolehost.testing.kit import Host, open_host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.repositories import paging
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn
from rolehost_webhooks.schemas.event_types import EventTypeIn
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.services import applications, endpoints, event_types, messages

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
        patch.setattr(Sender, "post", lambda *_: Answer(200, large, 1))
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
