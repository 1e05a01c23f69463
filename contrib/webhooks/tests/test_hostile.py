"""Hostile values in every path, query and body: the answer is never the server's fault.

Each operation gets every second or third of the values, so that all of them get all.

On SQLite and on PostgreSQL, because what one of them cannot hold the other may take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rolehost.api.http import OPERATION, Operation
from rolehost_testing.kit import Host, open_host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender
from rolehost_webhooks.domain import applications, endpoints, messages
from rolehost_webhooks.routes.table import NOT_OFFERED, RESOURCES
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn
from rolehost_webhooks.schemas.messages import MessageIn

from .inprocess import posting

#: Segments of a path and values of a query, encoded.
TEXTS = [
    *("%00", "a%00b", "%0A", "%FF", "%C3%28", "%ED%A0%80", "%F0%9F%98%80", "%", "%2", "%25", "%22"),
    *("a" * 300, "9" * 30, "9" * 5000, "-1", "1e400", "NaN", "true", "..", "a%2Fb", "app_%00"),
    *("0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "99999-01-01", "%F0%9D%9F%99"),
]

#: Values in a body, as JSON.
VALUES = [
    *(b'"\\u0000"', b'"a\\u0000b"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\\n"'),
    *(b"null", b"true", b"-1", b"9" * 30, b"9" * 5000, b"1e400", b"-1e400", b"0.5", b"NaN"),
    *(b"[]", b"{}", b"[[]]", b'[""]', b'["\\u0000"]', b'["a","a"]', b'{"":""}', b'""'),
    *(b'{"a\\u0000":"\\u0000"}', b'{"a":1,"a":2}', b'{"a":' + b"9" * 30 + b"}", b'{"a":null}'),
    *(b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b'"' + b"a" * 300 + b'"'),
    *(b"[" * 150 + b"]" * 150, b"[" * 3000 + b"]" * 3000, b'{"a":' * 250 + b"1" + b"}" * 250),
]

#: Whole bodies.
BODIES = [
    *(b"", b"null", b"[]", b"{", b"\xff", b"\xef\xbb\xbf{}", b"\0", b'{"a"', b"1", b'"', b"{}x"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"{}" * 2, b'{"\xff":1}', b"\xff\xfe{\0}\0"),
]

#: What fits where a body has a field of that name.
GOOD: dict[str, Any] = {
    "name": "n",
    "url": "http://receiver/",
    "eventType": "a",
    "payload": {},
    "description": "d",
    "headers": {"a": "b"},
    "since": "2020-01-01T00:00:00Z",
}


BACKENDS = ["memory", pytest.param("postgres", marks=pytest.mark.engine)]


@pytest.fixture(scope="module", params=BACKENDS)
def here(request: pytest.FixtureRequest) -> Iterator[Host]:
    options: dict[str, Any] = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        options = {"backends": ("postgres", "memory"), "settings": {"postgres": {"url": url}}}
    plugins = ("graphql", "webhooks-api", "webhooks-ingest", "webhooks-delivery")
    with pytest.MonkeyPatch.context() as patch, open_host(plugins, **options) as host:
        patch.setattr(Sender, "post", posting(lambda *_: Answer(500, "busy", 1)))
        applications.create(host.services, ApplicationIn(name="x", uid="app"))
        endpoints.create(host.services, "app", EndpointIn(url="http://receiver/", uid="ep"))
        body = MessageIn(event_type="a", event_id="msg", payload=msgspec.Raw(b"{}"))
        messages.create(host.services, "app", body)
        host.drain()
        yield host


def operations() -> Iterator[tuple[str, str, Operation]]:
    """Method, template and description of every offered operation but the deletions."""
    for template, resource in RESOURCES.items():
        if resource is NOT_OFFERED:  # 501, whatever is sent
            continue
        for method in ("get", "post", "put", "patch"):
            responder = getattr(resource, f"on_{method}", None)
            if responder is not None:
                yield method, template, getattr(responder, OPERATION)


def segments(template: str) -> dict[str, str]:
    """The variables of a path with values that exist."""
    known = {"app_id": "app", "endpoint_id": "ep", "msg_id": "msg", "attempt_id": "atmpt_1"}
    return {
        name: known.get(name, "a")
        for part in template.split("/")
        if part.startswith("{") and (name := part.strip("{}"))
    }


def path_of(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


def body_of(kind: Any, **given: bytes) -> bytes:
    """A body with all fields that are required, and the given ones as they are."""
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(kind)}
    values = {
        name: msgspec.json.encode(GOOD[name])
        for name, required in fields.items()
        if name in GOOD and (required or name in ("name", "url"))
    }
    values |= given
    return b"{" + b",".join(b'"%s":%s' % (n.encode(), v) for n, v in values.items()) + b"}"


def answers(here: Host, method: str, path: str, body: bytes | None = None) -> int:
    sent: dict[str, Any] = {}
    if body is not None:
        sent = {"body": body, "headers": {"content-type": "application/json"}}
    response = here.client.request(method.upper(), path, **sent)
    # 501: what Svix has and this API does not offer.
    assert response.status < 500 or response.status == 501, (method, path[:200], response)
    return response.status


def test_in_paths_and_queries(here: Host) -> None:
    for number, (method, template, described) in enumerate(operations()):
        known = segments(template)
        body = None if described.request is None else body_of(described.request)
        for name in known:
            for text in TEXTS[number % 3 :: 3]:
                answers(here, method, path_of(template, known | {name: text}), body)
        if method != "get" or described.query is None:
            continue
        path = path_of(template, known)
        for field in msgspec.structs.fields(described.query):
            for text in TEXTS[number % 3 :: 3]:
                answers(here, method, f"{path}?{field.encode_name}={text}")
        for odd in ("%00=%00", "=", "&&", "limit=1&limit=2", "\xff", "iterator=-", "limit=1,2"):
            answers(here, method, f"{path}?{odd}")


def test_in_bodies(here: Host) -> None:
    for number, (method, template, described) in enumerate(operations()):
        if described.request is None:
            continue
        path = path_of(template, segments(template))
        for body in BODIES:
            assert answers(here, method, path, body) in (400, 413, 422)
        for field in msgspec.structs.fields(described.request):
            for value in VALUES[number % 2 :: 2]:
                name = field.encode_name
                answers(here, method, path, body_of(described.request, **{name: value}))


#: One field with a variable each: the library does not await the fields beside one whose argument
#: it refuses, and says so in a warning.
QUERIES = [
    "query($x: ID!) { application(id: $x) { endpoints(first: 1) { nodes { id headers } } } }",
    "query($x: ID!) { endpoint(application: $x, id: $x) { stats { fail } } }",
    "query($x: ID!) { message(application: $x, id: $x) { payload } }",
    'query($x: Int) { application(id: "app") { messages(first: $x) { nodes { id } } } }',
    'query($x: String) { application(id: "app") { endpoints(after: $x) { nodes { id } } } }',
    'query($x: String) { messages(application: "app", channel: $x) { nodes { payload } } }',
    'query($x: String) { messages(application: "app", tag: $x) { nodes { payload } } }',
    'query($x: [String!]) { messages(application: "app", eventTypes: $x) { nodes { id } } }',
    'query($x: DateTime) { messages(application: "app", before: $x) { nodes { id } } }',
    "query($x: String) { eventTypes(after: $x) { nodes { schemas } } }",
]

MUTATION = """
    mutation($text: String!, $json: JSON!, $list: [String!]) {
        one: createApplication(input: {name: $text, metadata: $json}) { id }
        two: createEndpoint(application: "app", input: {url: $text, headers: $json}) { id }
        six: createEndpoint(application: "app", input: {url: "http://r/", description: $text})
            { id }
        three: sendMessage(application: "app", input: {eventType: "a", payload: $json, tags: $list})
            { id payload }
        four: resendMessage(application: "app", id: "msg", endpoint: "ep") { id }
        five: rotateEndpointSecret(application: "app", id: "ep", input: {key: $text})
    }
"""

#: Codes of errors that are the client's.
CLIENTS = {"BAD_USER_INPUT", "NOT_FOUND", "CONFLICT", "BAD_REQUEST", "QUERY_TOO_DEEP"}
CLIENTS |= {"OPERATION_RESOLUTION_FAILURE", "QUERY_TOO_COSTLY", "CONTENT_TOO_LARGE"}


def asked(here: Host, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = here.client.post("/graphql", body=body, headers=headers)
    assert response.status < 500, response
    for error in response.json.get("errors", ()):
        code = error["extensions"]["code"]
        assert code in CLIENTS or code.startswith("GRAPHQL_"), (body[:300], error)


def test_in_graphql(here: Host) -> None:
    for value in VALUES:
        for text in QUERIES:
            name = text.partition("$")[2].partition(":")[0].encode()
            query = msgspec.json.encode(text)
            asked(here, b'{"query":%s,"variables":{"%s":%s}}' % (query, name, value))
        for name in ("text", "json", "list"):
            variables = {"text": b'"a"', "json": b"{}", "list": b"[]"} | {name: value}
            parts = b",".join(b'"%s":%s' % (n.encode(), v) for n, v in variables.items())
            query = msgspec.json.encode(MUTATION)
            asked(here, b'{"query":%s,"variables":{%s}}' % (query, parts))
        asked(here, b'{"query":"{__typename}","extensions":%s}' % value)
        asked(here, b'{"query":"{__typename}","operationName":%s}' % value)
        asked(here, b'{"query":%s}' % value)
    for body in BODIES:
        asked(here, body)
    for text in (
        "{a" * 900,
        "{a" * 900 + "}" * 900,
        "{application(id:" + "[" * 900 + "]" * 900 + "){id}}",
        "{application(id:" + "{a:" * 600 + "1" + "}" * 600 + "){id}}",
        '{application(id:"\0"){id}}',
        '{application(id:"\\u0000"){id}}',
        '{application(id:"\\uD800"){id}}',
        "{application(id:" + "9" * 5000 + "){id}}",
        '{messages(application:"app",first:' + "9" * 30 + "){nodes{id}}}",
        "query($a:" + "[" * 900 + "Int" + "]" * 900 + "){__typename}",
        "fragment F on Query{...F} {...F}",
        "\ufeff{__typename}",
    ):
        asked(here, msgspec.json.encode({"query": text}))


def test_in_query_strings_and_headers_of_graphql(here: Host) -> None:
    for text in (*TEXTS, "[" * 2000, "%7B%22a%22:" * 600, "%5B" * 2000):
        for name in ("variables", "extensions", "query", "operationName"):
            query = "" if name == "query" else "&query=%7B__typename%7D"
            here_is = f"/graphql?{name}={text}{query}"
            response = here.client.get(here_is, headers={"X-Requested-With": "x"})
            assert response.status < 500, (here_is[:100], response)
    for header in ("Accept", "Content-Type", "Authorization", "Idempotency-Key", "X-Request-Id"):
        for value in (
            "",
            ",",
            "a/b;q=x",
            ";",
            "\xff",
            "a" * 4000,
            "*",
            "application/json;charset=x",
        ):
            sent = {"content-type": "application/json", header.lower(): value}
            for path in ("/graphql", "/api/v1/app"):
                response = here.client.post(path, body=b"{}", headers=sent)
                assert response.status < 500, (header, value, response)
