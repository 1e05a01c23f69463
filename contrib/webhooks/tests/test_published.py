"""Each operation that Svix's open server publishes answers here as it does there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from rolehost_testing.kit import Host, open_host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.models import Cause
from rolehost_webhooks.routes.responder import PREFIX
from rolehost_webhooks.routes.table import RESOURCES

from .inprocess import posting
from .published import (
    EMPTY,
    ERROR,
    LISTING,
    MISTAKES,
    NEWEST_FIRST,
    OPERATIONS,
    Mistake,
    Operation,
    Shape,
)

PLUGINS = ("webhooks-api", "webhooks-delivery")

#: Every operation with the least and with the most that it takes, where the least is enough.
CALLS = [
    (operation, kind)
    for operation in OPERATIONS
    for kind in ("bare", "full")
    if kind == "full" or operation.bare is not None or not operation.full
]


class World:
    """A host whose objects have only what they must (``bare``), or everything (``full``)."""

    def __init__(self, host: Host, kind: str) -> None:
        self.host = host
        self.kind = kind
        self.names = {"fresh": "fresh", "new": "first"}
        for operation in (op for op in OPERATIONS if op.method == "POST" and op.status < 300):
            if operation.path in {"/app", "/app/{app}/endpoint", "/event-type"}:
                self._create(operation)
        self._send()
        self.names["new"] = "second"

    def _create(self, operation: Operation) -> None:
        what = {"/app": "app", "/event-type": "event_type"}.get(operation.path, "endpoint")
        made = self.call(operation.method, operation.path, self.body(operation)).json
        self.names[what] = made["name"] if what == "event_type" else made["id"]
        if what == "app" and self.kind == "full":
            self.names["app_uid"] = made["uid"]

    def _send(self) -> None:
        """Send one message and attempt it."""
        body = {"eventType": "a.b", "payload": {"x": 1}}
        if self.kind == "full":
            body |= {
                "eventId": "e",
                "channels": ["c"],
                "tags": ["t"],
                "deliverAt": "{soon}",
            }
        self.names["message"] = self.call("POST", "/app/{app}/msg", body).json["id"]
        self.host.clock.advance(700)
        self.host.drain()
        listed = self.call("GET", "/app/{app}/attempt/msg/{message}").json
        self.names["attempt"] = listed["data"][0]["id"]

    def body(self, operation: Operation) -> Any:
        """Return the body of this kind."""
        return (operation.full if self.kind == "full" else None) or operation.bare

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call a path below the prefix.

        ``{name}`` in it and in the body stands for an id, and ``{now}`` and the like for a time.
        """
        now = self.host.clock.moment
        for name, minutes in {"past": -60, "now": 0, "soon": 10}.items():
            self.names[name] = (now + timedelta(minutes=minutes)).isoformat()
        given = {} if body is None else {"json": self._named(body)}
        if isinstance(body, bytes):
            given = {"body": body, "headers": {"content-type": "application/json"}}
        return self.host.client.request(method, PREFIX + path.format(**self.names), **given)

    def _named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._named(each) for name, each in value.items()}
        return value.format(**self.names) if isinstance(value, str) else value


Worlds = Callable[[str], World]


@contextmanager
def making_worlds() -> Iterator[Worlds]:
    """Give what makes a world of a kind, once for each kind."""
    made: dict[str, World] = {}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())

        def make(kind: str) -> World:
            fine = Answer(200, '{"ok":true}', 1)
            failed = Answer(0, "connection refused by receiver port 80", 1, cause=Cause.REFUSED)
            patch.setattr(Sender, "post", posting(lambda *_: fine if kind == "bare" else failed))
            if kind not in made:
                made[kind] = World(stack.enter_context(open_host(PLUGINS)), kind)
            return made[kind]

        yield make


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    """Make worlds for one test."""
    with making_worlds() as make:
        yield make


@pytest.fixture(scope="module")
def kept() -> Iterator[Worlds]:
    """Make worlds for all tests that change nothing."""
    with making_worlds() as make:
        yield make


def fits(value: dict[str, Any], expected: Shape, kind: str) -> None:
    """Assert that an object has exactly the fields of its kind, and null where it should be."""
    optional = expected.null | expected.absent
    present = expected.always | (optional if kind == "full" else expected.null)
    assert set(value) == present
    nulls = {name for name, each in value.items() if each is None}
    assert nulls == (set() if kind == "full" else set(expected.null))


@pytest.mark.parametrize(("operation", "kind"), CALLS, ids=str)
def test_an_operation_answers_as_published(
    worlds: Worlds, kept: Worlds, operation: Operation, kind: str
) -> None:
    changes = operation.method not in ("GET", "HEAD") and operation.status < 300
    world = (worlds if changes else kept)(kind)
    answer = world.call(operation.method, operation.path, world.body(operation))
    assert answer.status == operation.status, answer.text
    if operation.answer is None:
        assert answer.text == ""
        return
    if not operation.listing:
        if operation.answer != EMPTY or operation.path.endswith("resend"):
            fits(answer.json, operation.answer, kind)
        return
    fits(answer.json, LISTING, "full")
    assert answer.json["data"], "a listing of the test is empty"
    assert answer.json["done"] is True
    for item in answer.json["data"]:
        fits(item, operation.answer, kind)


def test_nothing_is_null_in_an_empty_listing_but_its_iterator(
    worlds: Worlds,
) -> None:
    world = worlds("bare")
    answer = world.call("GET", "/app?iterator=app_zzz").json
    assert answer == {"data": [], "iterator": None, "done": True}


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_answered_as_published(kept: Worlds, mistake: Mistake) -> None:
    world = kept("full" if "{app_uid}" in str(mistake.body) else "bare")
    answer = world.call(mistake.method, mistake.path, mistake.body)
    assert answer.status == mistake.status, answer.text
    if mistake.status != 422:
        fits(answer.json, ERROR, "full")
        assert answer.json["code"] == mistake.place
        return
    (detail,) = answer.json["detail"]
    assert set(detail) == {"loc", "msg", "type"}
    assert tuple(detail["loc"]) == mistake.place
    assert all(isinstance(each, str) for each in (*detail["loc"], detail["msg"], detail["type"]))


def test_every_route_is_among_the_published_operations() -> None:
    published = {operation.path.partition("?")[0] for operation in OPERATIONS}
    routes = {path.removeprefix(PREFIX) for path in RESOURCES}
    plain = {path.replace("{fresh}", "{app}") for path in published}

    def shape_of(path: str) -> tuple[str, ...]:
        return tuple("{}" if part.startswith("{") else part for part in path.split("/"))

    assert {shape_of(path) for path in routes} == {shape_of(path) for path in plain}


@pytest.mark.parametrize(("path", "newest_first"), NEWEST_FIRST.items())
def test_a_listing_has_the_published_order_and_is_walked_both_ways(
    worlds: Worlds, path: str, newest_first: bool
) -> None:
    world = worlds("bare")
    for number in range(3):
        world.host.clock.advance(1)
        world.call("POST", "/app", {"name": "n"})
        world.call("POST", "/event-type", {"name": f"t{number}", "description": "d"})
        world.call("POST", "/app/{app}/endpoint", {"url": "http://receiver/"})
    for _ in range(3):
        world.host.clock.advance(1)
        world.call("POST", "/app/{app}/msg", {"eventType": "a", "payload": {}})
        world.call("POST", "/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
        world.host.drain()
        newest = world.call("GET", "/app/{app}/msg?limit=1").json["data"][0]
        if path.endswith("/{message}/endpoint"):
            world.names["message"] = newest["id"]

    def page(query: str) -> dict[str, Any]:
        return dict(world.call("GET", f"{path}?{query}").json)

    def keys(answer: dict[str, Any]) -> list[str]:
        return [item.get("id") or item["name"] for item in answer["data"]]

    everything = keys(page(""))
    assert everything == sorted(everything, reverse=newest_first)
    assert len(everything) >= 4
    first = page("limit=2")
    second = page(f"limit=2&iterator={first['iterator']}")
    assert keys(first) + keys(second) == everything[:4]
    assert (first["done"], second["done"]) == (False, len(everything) == 4)
    assert keys(page(f"limit=2&iterator={second['prevIterator']}")) == keys(first)


def test_older_names_of_fields_change_what_the_new_ones_do(worlds: Worlds) -> None:
    world = worlds("bare")
    endpoint = "/app/{app}/endpoint/{endpoint}"
    body = {"filterTypes": ["b", "a", "b"], "rateLimit": 5, "version": 4, "channels": ["x", "x"]}
    made = world.call("PATCH", endpoint, body).json
    assert made["eventTypes"] == made["filterTypes"] == ["b", "a"]
    assert made["rateLimit"] == made["throttleRate"] == 5
    assert (made["version"], made["channels"]) == (4, ["x"])
    assert world.call("GET", endpoint).json == made
    kept = world.call("PATCH", endpoint, {"description": "d"}).json
    assert (kept["version"], kept["filterTypes"], kept["rateLimit"]) == (4, ["b", "a"], 5)
    none = world.call("PATCH", endpoint, {"filterTypes": None, "rateLimit": None}).json
    assert none["eventTypes"] is none["filterTypes"] is none["throttleRate"] is None
    replaced = world.call("PUT", endpoint, {"url": "http://receiver/"}).json
    assert replaced["version"] == 1
    both = world.call("PATCH", "/app/{app}", {"rateLimit": 3}).json
    assert both["throttleRate"] == both["rateLimit"] == 3


def test_one_feature_flag_and_several_are_the_same_thing(worlds: Worlds) -> None:
    world = worlds("bare")
    path = "/event-type/{event_type}"
    made = world.call("PATCH", path, {"featureFlag": "beta"}).json
    assert (made["featureFlag"], made["featureFlags"]) == ("beta", ["beta"])
    assert world.call("PATCH", path, {"description": "x"}).json["featureFlag"] == "beta"
    several = world.call("PATCH", path, {"featureFlags": ["a", "b"]}).json
    assert (several["featureFlag"], several["featureFlags"]) == ("a", ["a", "b"])
    # What a client read, it may write again.
    again = {name: several[name] for name in ("description", "featureFlag", "featureFlags")}
    assert world.call("PUT", path, again).json["featureFlags"] == ["a", "b"]
    assert world.call("PATCH", path, {"featureFlag": None}).json["featureFlag"] is None
    other = {"featureFlag": "c", "featureFlags": ["a"]}
    assert world.call("PATCH", path, other).status == 422


def test_an_endpoint_gets_only_the_types_that_it_filters_by_the_older_name(
    worlds: Worlds,
) -> None:
    world = worlds("bare")
    body = {"url": "http://receiver/", "filterTypes": ["paid"], "uid": "filtering"}
    world.call("POST", "/app/{app}/endpoint", body)
    for event_type in ("other", "paid"):
        world.call("POST", "/app/{app}/msg", {"eventType": event_type, "payload": {}})
    world.host.drain()
    got = world.call("GET", "/app/{app}/endpoint/filtering/msg").json["data"]
    assert [message["eventType"] for message in got] == ["paid"]


def test_content_that_was_not_asked_for_or_removed_is_shown_as_published(
    worlds: Worlds,
) -> None:
    world = worlds("bare")
    attempts = "/app/{app}/attempt/msg/{message}"
    (hidden,) = world.call("GET", f"{attempts}?with_content=false").json["data"]
    assert hidden["response"] == "{}"
    (with_message,) = world.call("GET", f"{attempts}?with_msg=true").json["data"]
    assert with_message["msg"]["id"] == world.names["message"]
    attempt = "/app/{app}/msg/{message}/attempt/{attempt}"
    world.call("DELETE", f"{attempt}/content")
    assert world.call("GET", attempt).json["response"] == "EXPUNGED"
    world.call("DELETE", "/app/{app}/msg/{message}/content")
    resent = world.call("POST", "/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    assert (resent.status, resent.json["code"]) == (400, "missing_payload")


def test_a_deleted_endpoint_stays_among_the_destinations_of_its_messages(
    worlds: Worlds,
) -> None:
    world = worlds("bare")
    world.call("DELETE", "/app/{app}/endpoint/{endpoint}")
    (place,) = world.call("GET", "/app/{app}/msg/{message}/endpoint").json["data"]
    assert place["id"] == world.names["endpoint"]


def test_a_rotation_is_refused_while_ten_older_secrets_sign(worlds: Worlds) -> None:
    world = worlds("bare")
    rotate = "/app/{app}/endpoint/{endpoint}/secret/rotate"
    for _ in range(10):
        assert world.call("POST", rotate, {}).status == 204
        world.host.clock.advance(1)
    refused = world.call("POST", rotate, {})
    assert (refused.status, refused.json["code"]) == (400, "limit_reached")
    world.host.clock.advance(86_400)
    assert world.call("POST", rotate, {}).status == 204


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        ("svix-libs/1.99.1/java jre/17", 204),
        ("svix-libs/2.6.2/python", 204),
        ("svix-libs/2.7.0/python", 200),
        ("svix-libs/3.0.0-beta.1/javascript", 200),
        ("svix-libs/10.0.0/go", 200),
        ("curl/8.0 svix-libs/2.9.1", 204),
        ("svix-libs/x", 204),
    ],
)
def test_a_rotation_is_answered_as_the_release_of_the_client_reads_it(
    worlds: Worlds, agent: str, status: int
) -> None:
    world = worlds("bare")
    endpoint = f"{PREFIX}/app/{world.names['app']}/endpoint/{world.names['endpoint']}"
    client = world.host.client.with_headers(user_agent=agent)
    answer = client.post(f"{endpoint}/secret/rotate", json={})
    assert answer.status == status
    key = world.call("GET", "/app/{app}/endpoint/{endpoint}/secret").json["key"]
    assert answer.text == ("" if status == 204 else f'{{"key":"{key}"}}')


def test_a_patched_secret_is_the_one_that_signs(worlds: Worlds) -> None:
    world = worlds("bare")
    endpoint = "/app/{app}/endpoint/{endpoint}"
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert world.call("PATCH", endpoint, {"secret": secret}).status == 200
    assert world.call("PATCH", endpoint, {"secret": None}).status == 200
    assert world.call("GET", f"{endpoint}/secret").json == {"key": secret}


@pytest.mark.parametrize(
    "query", ["event_types=b&event_types=c", "event_types=b,c", "event_types[]=b&event_types[1]=c"]
)
def test_event_types_are_read_in_every_spelling(worlds: Worlds, query: str) -> None:
    world = worlds("bare")
    for name in ("b", "c", "d"):
        world.call("POST", "/app/{app}/msg", {"eventType": name, "payload": {}})
    found = world.call("GET", f"/app/{{app}}/msg?{query}").json["data"]
    assert {message["eventType"] for message in found} == {"b", "c"}


def test_after_includes_its_own_moment_so_that_nothing_is_missed(
    worlds: Worlds,
) -> None:
    world = worlds("bare")
    path = "/app/{app}/attempt/msg/{message}"
    (attempt,) = world.call("GET", path).json["data"]
    for listed in (path, "/app/{app}/msg", "/app/{app}/endpoint/{endpoint}/msg"):
        (item,) = world.call("GET", listed).json["data"]
        after = f"{listed}?after={item['timestamp']}"
        assert [one["id"] for one in world.call("GET", after).json["data"]] == [item["id"]]
    assert attempt["status"] == 0


def test_a_client_that_asks_for_deliveries_being_retried_is_shown_them_as_such(
    worlds: Worlds,
) -> None:
    world = worlds("full")
    path = "/app/{app}/endpoint/{endpoint}/msg"
    (plain,) = world.call("GET", path).json["data"]
    (asked,) = world.call("GET", f"{path}?status=3").json["data"]
    assert (plain["status"], plain["statusText"]) == (1, "pending")
    assert (asked["status"], asked["statusText"]) == (3, "sending")
