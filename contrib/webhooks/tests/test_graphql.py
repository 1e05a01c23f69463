"""The GraphQL API of the webhooks: the same data, rules, token and units of work as over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rolehost_testing.kit import Host, Hosts
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender

from .inprocess import posting

TOKEN = "a-token-for-tests"

CREATE = """
mutation Create($name: String!, $uid: String) {
  createApplication(input: {name: $name, uid: $uid}) { id uid name createdAt }
}
"""

ENDPOINT = """
mutation Endpoint($app: ID!, $input: EndpointInput!) {
  createEndpoint(application: $app, input: $input) { id uid url disabled }
}
"""

SEND = """
mutation Send($app: ID!, $input: MessageInput!) {
  sendMessage(application: $app, input: $input) { id eventId eventType payload }
}
"""


class Api:
    """The API of a host, for those who have the token."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client = host.client.with_headers(authorization=f"Bearer {TOKEN}")

    def ask(self, query: str, key: str | None = None, /, **variables: Any) -> Any:
        """Send a document; return the decoded answer."""
        body = {"query": query, "variables": variables}
        return self.client.post("/graphql", json=body, idempotency_key=key).json

    def data(self, query: str, /, **variables: Any) -> Any:
        """Send a document that has no errors; return its data."""
        answer = self.ask(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def refused(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """Send a document that has one error; return its extensions."""
        (error,) = self.ask(query, **variables)["errors"]
        return {"message": error["message"], **error["extensions"]}


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Hosts in this process; the folder's own ``host`` is one that runs."""
    made = Hosts()
    yield made
    made.close()


@pytest.fixture
def serve(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Api]:
    """Make an API; ``backends`` and settings of these as of :class:`Hosts`."""
    monkeypatch.setattr(Sender, "post", posting(lambda *_: Answer(500, "busy", 1)))

    def make(backends: Any = "memory", **settings: Any) -> Api:
        plugins = ["graphql", "webhooks-api", "webhooks-delivery"]
        settings["webhooks-api"] = {"token": TOKEN}
        return Api(hosts(plugins=plugins, settings=settings, backends=backends))

    return make


@pytest.fixture
def api(serve: Callable[..., Api]) -> Api:
    return serve()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
def full(request: pytest.FixtureRequest, serve: Callable[..., Api]) -> Api:
    """Three applications with three endpoints and three messages each, all attempted."""
    if request.param == "memory":
        api = serve()
    else:
        url = request.getfixturevalue("postgres_url")
        api = serve(("postgres", "memory"), postgres={"url": url})
    for app in "abc":
        api.data(CREATE, name=f"app {app}", uid=app)
        for number in range(3):
            wanted = {"url": f"http://receiver/{app}{number}", "uid": f"{app}{number}"}
            api.data(ENDPOINT, app=app, input=wanted)
            api.host.clock.advance(1)
        for number in range(3):
            api.data(SEND, app=app, input={"eventType": "paid", "payload": {"number": number}})
            api.host.clock.advance(1)
    api.host.drain()
    return api


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what is asked of the database."""
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    logger, handler = logging.getLogger("peewee"), Keep()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


# --- who may ask ------------------------------------------------------------------------------


def test_without_the_token_nothing_is_told_and_nothing_changes(api: Api) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        for query in (
            "{ eventTypes { nodes { name } } }",
            'mutation { deleteApplication(id: "x") }',
        ):
            answer = api.host.client.post("/graphql", json={"query": query}, headers=headers)
            assert answer.status == 401
            (error,) = answer.json["errors"]
            assert error["extensions"]["code"] == "UNAUTHENTICATED"


def test_without_a_token_in_the_settings_everybody_may_ask(hosts: Hosts) -> None:
    opened = hosts(plugins=["graphql", "webhooks-api"])
    answer = opened.client.post("/graphql", json={"query": "{ applications { nodes { id } } }"})
    assert answer.json == {"data": {"applications": {"nodes": []}}}


# --- changes ----------------------------------------------------------------------------------


def test_what_is_created_here_is_seen_over_http_and_the_other_way_round(api: Api) -> None:
    created = api.data(CREATE, name="Acme", uid="acme")["createApplication"]
    shown = api.client.get("/api/v1/app/acme").json
    assert (shown["id"], shown["name"]) == (created["id"], "Acme")
    api.client.patch("/api/v1/app/acme", json={"name": "Acme & Sons"})
    assert api.data('{ application(id: "acme") { name } }') == {
        "application": {"name": "Acme & Sons"}
    }


def test_applications_are_changed_and_deleted(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    changed = api.data(
        'mutation { updateApplication(id: "acme", input: {throttleRate: 5, metadata: {a: "b"}})'
        " { name throttleRate metadata } }"
    )
    assert changed["updateApplication"] == {
        "name": "Acme",
        "throttleRate": 5,
        "metadata": {"a": "b"},
    }
    assert api.data('mutation { deleteApplication(id: "acme") }')
    assert api.data('{ application(id: "acme") { id } }') == {"application": None}


def test_an_existing_application_may_be_the_answer(api: Api) -> None:
    first = api.data(CREATE, name="Acme", uid="acme")["createApplication"]["id"]
    assert api.refused(CREATE, name="Other", uid="acme")["code"] == "CONFLICT"
    again = api.data(
        'mutation { createApplication(input: {name: "x", uid: "acme"}, getIfExists: true) { id } }'
    )
    assert again == {"createApplication": {"id": first}}


def test_endpoints_are_created_changed_and_deleted(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    wanted = {"url": "https://receiver/", "uid": "e", "eventTypes": ["paid"], "headers": {"A": "b"}}
    api.data(ENDPOINT, app="acme", input=wanted)
    changed = api.data(
        'mutation { updateEndpoint(application: "acme", id: "e", input: {disabled: true,'
        " eventTypes: null}) { disabled eventTypes headers url } }"
    )["updateEndpoint"]
    assert changed == {
        "disabled": True,
        "eventTypes": None,
        "headers": {"A": "b"},
        "url": "https://receiver/",
    }
    api.data('mutation { deleteEndpoint(application: "acme", id: "e") }')
    assert api.data('{ endpoint(application: "acme", id: "e") { id } }') == {"endpoint": None}


def test_mistakes_are_those_of_the_http_api(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    over_http = api.client.post("/api/v1/app", json={"name": "", "uid": "x"}).json["detail"]
    assert api.refused(CREATE, name="", uid="x")["errors"] == over_http
    body = {"url": "ftp://receiver/"}
    over_http = api.client.post("/api/v1/app/acme/endpoint", json=body).json["detail"]
    assert api.refused(ENDPOINT, app="acme", input=body)["errors"] == over_http
    assert api.refused(ENDPOINT, app="nobody", input={"url": "http://x/"})["code"] == "NOT_FOUND"
    refused = api.refused(SEND, app="acme", input={"eventType": "a", "payload": [1]})
    assert refused["message"] == "Payload must be an object."
    assert api.refused("{ applications(first: 251) { nodes { id } } }")["code"] == "BAD_USER_INPUT"


def test_a_message_leaves_with_its_job_and_is_delivered(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    api.data(ENDPOINT, app="acme", input={"url": "http://receiver/"})
    sent = api.data(SEND, app="acme", input={"eventType": "paid", "payload": {"n": 1}})
    message = sent["sendMessage"]
    assert message["payload"] == {"n": 1}
    api.host.assert_enqueued("webhooks.fan_out", message_id=message["id"])
    api.host.drain()
    query = """query($id: ID!) { message(application: "acme", id: $id) {
        deliveries { nodes { status attemptCount endpoint { url } } }
        attempts { nodes { responseStatusCode status manual endpoint { url } } }
    } }"""
    shown = api.data(query, id=message["id"])["message"]
    (delivery,) = shown["deliveries"]["nodes"]
    assert delivery == {
        "status": "SENDING",
        "attemptCount": 1,
        "endpoint": {"url": "http://receiver/"},
    }
    (attempt,) = shown["attempts"]["nodes"]
    assert (attempt["responseStatusCode"], attempt["status"]) == (500, "FAIL")


def test_a_message_may_be_sent_again_and_failures_recovered(full: Api) -> None:
    query = '{ messages(application: "a", first: 1) { nodes { id } } }'
    (message,) = full.data(query)["messages"]["nodes"]
    again = 'mutation($id: ID!) { resendMessage(application: "a", id: $id, endpoint: "a0") { id } }'
    assert full.data(again, id=message["id"])["resendMessage"] == message
    full.host.assert_enqueued("webhooks.deliver", message_id=message["id"], trigger=1)
    task = full.data(
        'mutation { recoverEndpoint(application: "a", id: "a0", since: "2020-01-01T00:00:00Z") }'
    )
    assert task["recoverEndpoint"].startswith("qtask_")
    full.host.assert_enqueued("webhooks.recover")


def test_a_secret_is_shown_where_it_is_asked_for_and_rotates(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    api.data(ENDPOINT, app="acme", input={"url": "http://receiver/", "uid": "e"})
    query = '{ endpoint(application: "acme", id: "e") { secret } }'
    first = api.data(query)["endpoint"]["secret"]
    assert first.startswith("whsec_")
    rotate = 'mutation { rotateEndpointSecret(application: "acme", id: "e") }'
    second = api.data(rotate)["rotateEndpointSecret"]
    assert api.data(query)["endpoint"]["secret"] == second != first


def test_values_of_sensitive_headers_are_not_shown(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    headers = {"Authorization": "Bearer hush", "X-Shown": "yes"}
    wanted = {"url": "http://receiver/", "uid": "e", "headers": headers}
    api.data(ENDPOINT, app="acme", input=wanted)
    shown = api.data('{ endpoint(application: "acme", id: "e") { headers sensitiveHeaders } }')
    assert shown["endpoint"] == {
        "headers": {"X-Shown": "yes"},
        "sensitiveHeaders": ["Authorization"],
    }


def test_a_mutation_with_a_key_happens_once(api: Api) -> None:
    api.data(CREATE, name="Acme", uid="acme")
    wanted = {"eventType": "paid", "payload": {}}
    first = api.ask(SEND, "k", app="acme", input=wanted)
    assert api.ask(SEND, "k", app="acme", input=wanted) == first
    found = api.data('{ messages(application: "acme") { nodes { id } } }')["messages"]["nodes"]
    assert len(found) == 1


def test_with_a_key_a_failed_part_undoes_all_of_it(api: Api) -> None:
    both = """mutation {
        one: createApplication(input: {name: "one", uid: "one"}) { id }
        two: createApplication(input: {name: "two", uid: "app_bad"}) { id }
    }"""
    answer = api.ask(both, "k")
    assert answer["data"] is None
    assert answer["extensions"] == {"rolledBack": True}
    assert api.data('{ application(id: "one") { id } }') == {"application": None}


def test_without_a_key_each_mutation_stands_for_itself(api: Api) -> None:
    both = """mutation {
        one: createApplication(input: {name: "one", uid: "one"}) { uid }
        two: deleteApplication(id: "nobody")
    }"""
    assert api.refused(both)["code"] == "NOT_FOUND"
    assert api.data('{ application(id: "one") { uid } }') == {"application": {"uid": "one"}}


# --- listings ---------------------------------------------------------------------------------


def test_pages_are_walked_by_their_cursors(full: Api) -> None:
    query = """query($after: String) { applications(first: 2, after: $after) {
        edges { cursor node { uid } } pageInfo { hasNextPage endCursor } } }"""
    first = full.data(query)["applications"]
    assert [edge["node"]["uid"] for edge in first["edges"]] == ["a", "b"]
    assert first["pageInfo"] == {"hasNextPage": True, "endCursor": first["edges"][-1]["cursor"]}
    rest = full.data(query, after=first["pageInfo"]["endCursor"])["applications"]
    assert [edge["node"]["uid"] for edge in rest["edges"]] == ["c"]
    assert rest["pageInfo"]["hasNextPage"] is False


def test_pages_within_pages_begin_and_end_each_by_itself(full: Api) -> None:
    query = """{ applications { nodes { uid
        endpoints(first: 2) { nodes { uid } pageInfo { hasNextPage endCursor } }
        messages(first: 2) { nodes { payload } pageInfo { hasNextPage } } } } }"""
    for node in full.data(query)["applications"]["nodes"]:
        app = node["uid"]
        assert [each["uid"] for each in node["endpoints"]["nodes"]] == [f"{app}0", f"{app}1"]
        assert node["endpoints"]["pageInfo"]["hasNextPage"] is True
        assert [each["payload"]["number"] for each in node["messages"]["nodes"]] == [2, 1]
        assert node["messages"]["pageInfo"]["hasNextPage"] is True
    end = full.data('{ application(id: "b") { endpoints(first: 2) { pageInfo { endCursor } } } }')
    after = end["application"]["endpoints"]["pageInfo"]["endCursor"]
    more = """query($after: String) { applications { nodes { uid
        endpoints(first: 2, after: $after) { nodes { uid } } } } }"""
    by_app = {
        node["uid"]: [each["uid"] for each in node["endpoints"]["nodes"]]
        for node in full.data(more, after=after)["applications"]["nodes"]
    }
    assert by_app == {"a": [], "b": ["b2"], "c": ["c0", "c1"]}


def test_messages_are_narrowed_as_over_http(full: Api) -> None:
    full.data(SEND, app="a", input={"eventType": "left", "payload": {}, "tags": ["vip"]})
    narrowed = '{ messages(application: "a", %s) { nodes { eventType } } }'
    for filters in ('eventTypes: ["left"]', 'tag: "vip"'):
        assert full.data(narrowed % filters)["messages"]["nodes"] == [{"eventType": "left"}]
    assert full.data(narrowed % 'channel: "x"')["messages"]["nodes"] == []


def test_event_types_are_listed_by_name(api: Api) -> None:
    for name in ("b", "a"):
        api.client.post("/api/v1/event-type", json={"name": name, "description": f"is {name}"})
    listed = api.data("{ eventTypes { nodes { name } } }")["eventTypes"]["nodes"]
    assert [each["name"] for each in listed] == ["a", "b"]
    assert api.data('{ eventType(name: "b") { description } }') == {
        "eventType": {"description": "is b"}
    }


def test_statistics_are_those_of_the_http_api(full: Api) -> None:
    over_http = full.client.get("/api/v1/app/a/endpoint/a0/stats").json
    query = """{ endpoint(application: "a", id: "a0") {
        stats { success pending sending fail canceled } } }"""
    assert full.data(query)["endpoint"]["stats"] == over_http
    assert over_http["sending"] == 3


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (
            "{ applications(first: 5) { nodes { endpoints(first: 5) { nodes { url secret } } } } }",
            2,
        ),
        ("{ applications(first: 5) { nodes { messages(first: 5) { nodes { payload } } } } }", 3),
        (
            "{ applications(first: 5) { nodes { messages(first: 5) { nodes { attempts(first: 5) {"
            " nodes { status endpoint { url application { name } } } } } } } } }",
            5,
        ),
        (
            "{ applications(first: 5) { nodes { endpoints(first: 5) { nodes { stats { fail }"
            " deliveries(first: 5) { nodes { status message { eventType payload } } } } } } } }",
            6,
        ),
    ],
)
def test_statements_do_not_grow_with_what_is_found(full: Api, query: str, most: int) -> None:
    with statements() as seen:
        full.data(query)
    selects = [each for each in seen if "SELECT" in each and "webhooks_" in each]
    assert 0 < len(selects) <= most, "\n".join(selects)
