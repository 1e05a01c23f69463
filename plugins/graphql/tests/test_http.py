"""Requests and answers as the GraphQL-over-HTTP specification has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rolehost_testing.kit import open_host

from .conftest import Api, Serve
from .shop import SHOP, SOLD, plugin

RESPONSE = "application/graphql-response+json"


def test_a_query_is_answered(api: Api):
    answer = api.post("query Named($id: Int!) { item(id: $id) { name } }", variables={"id": 3})
    assert answer.status == 200
    assert answer.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    assert answer.json == {"data": {"item": {"name": "item 3"}}}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (RESPONSE, RESPONSE),
        ("application/json", "application/json"),
        (f"{RESPONSE}; charset=utf-8, application/json; charset=utf-8", RESPONSE),
        ("application/json, application/graphql-response+json;q=0.5", "application/json"),
        ("*/*", "application/json"),
        ("application/*", RESPONSE),
    ],
)
def test_the_client_chooses_the_media_type(api: Api, accept: str, media_type: str):
    answer = api.post("{ __typename }", {"accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert "accept" in answer.headers["vary"].lower()


def test_a_client_that_takes_neither_is_told_so(api: Api):
    assert api.post("{ __typename }", {"accept": "image/png"}).status == 406


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nobody }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "OPERATION_RESOLUTION_FAILURE"),
        ("query($id: Int!) { item(id: $id) { name } }", "BAD_USER_INPUT"),
    ],
)
def test_what_cannot_be_executed_is_400_and_for_older_clients_200(api: Api, query: str, code: str):
    answer = api.post(query)
    assert answer.status == 400
    assert "data" not in answer.json
    assert [each["extensions"]["code"] for each in answer.json["errors"]] == [code]
    assert api.post(query, {"accept": "application/json"}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b"{}",
        b'{"query": 7}',
        b'{"query": "{ __typename }", "variables": [1]}',
        b'{"query": "{ __typename }", "operationName": 7}',
        b'{"query": "{ __typename }", "extensions": "x"}',
        b'[{"query": "{ __typename }"}]',
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_400_whatever_the_client_takes(api: Api, body: bytes):
    for accept in (RESPONSE, "application/json"):
        headers = {"content-type": "application/json", "accept": accept}
        answer = api.client.post("/graphql", body=body, headers=headers)
        assert answer.status == 400
        assert answer.json["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=latin-1"]
)
def test_bodies_are_json_in_utf_8(api: Api, kind: str):
    headers = {"content-type": kind}
    answer = api.client.post("/graphql", body=b'{"query": "{ __typename }"}', headers=headers)
    assert answer.status == 415
    assert answer.json["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_query_may_come_by_get(api: Api):
    query = "query A($id: Int!) { item(id: $id) { name } } query B { __typename }"
    answer = api.get(query=query, variables='{"id": 2}', operationName="A")
    assert answer.json == {"data": {"item": {"name": "item 2"}}}
    assert api.get(query="{ __typename }", variables="{").status == 400
    assert api.get().status == 400


def test_a_mutation_may_not_come_by_get(till: Api):
    answer = till.get(query="mutation { sell(id: 1) { name } }")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert SOLD == []


def test_no_page_of_another_site_can_send_a_get(api: Api, serve: Serve):
    without = {"x-requested-with": ""}
    answer = api.get(without, query="{ __typename }")
    assert answer.status == 400
    assert "Apollo-Require-Preflight" in answer.json["errors"][0]["message"]
    assert api.get({**without, "content-type": "text/plain"}, query="{ __typename }").status == 400
    assert (
        api.get({**without, "apollo-require-preflight": "1"}, query="{ __typename }").status == 200
    )
    assert serve(require_header=False).get(without, query="{ __typename }").status == 200


def test_a_body_that_is_too_large_is_refused_in_the_form_of_graphql(serve: Serve):
    answer = serve(max_body=100).post("{ __typename } #" + "x" * 200)
    assert answer.status == 413
    assert answer.json["errors"][0]["extensions"]["code"] == "CONTENT_TOO_LARGE"
    assert answer.headers["content-type"].startswith(RESPONSE)


def test_another_method_is_refused(api: Api):
    assert api.client.put("/graphql", json={"query": "{ __typename }"}).status == 405


def test_the_path_can_be_chosen(serve: Serve):
    api = serve(path="/api/graphql")
    assert api.ask("{ __typename }") == {"data": {"__typename": "Query"}}
    assert api.client.post("/graphql", json={}).status == 404


# --- idempotency ------------------------------------------------------------------------------


def test_a_mutation_with_a_key_happens_once(till: Api):
    key = {"idempotency-key": "k1"}
    first = till.post("mutation { sell(id: 1) { name } }", key)
    again = till.post("mutation { sell(id: 1) { name } }", key)
    assert first.json == again.json == {"data": {"sell": {"name": "item 1"}}}
    assert again.headers["idempotent-replayed"] == "true"
    assert SOLD == [1]


def test_another_mutation_with_the_same_key_is_refused(till: Api):
    key = {"idempotency-key": "k1"}
    till.post("mutation { sell(id: 1) { name } }", key)
    answer = till.post("mutation { sell(id: 2) { name } }", key)
    assert answer.status == 422
    assert answer.json["errors"][0]["extensions"]["code"] == "IDEMPOTENCY_CONFLICT"


def test_with_a_key_errors_roll_everything_back_and_are_not_stored(till: Api):
    key = {"idempotency-key": "k1"}
    query = "mutation { a: sell(id: 1) { name } b: sell(id: -1) { name } }"
    for _ in range(2):
        answer = till.post(query, key)
        assert answer.status == 200
        assert answer.json["data"] is None
        assert answer.json["extensions"] == {"rolledBack": True}
        assert "idempotent-replayed" not in answer.headers


@pytest.fixture(scope="module")
def standing() -> Iterator[Api]:
    """A shop that many documents are sent to."""
    with open_host(plugins=["graphql", ("shop", plugin(SHOP))]) as opened:
        yield Api(opened.client)


#: Pieces of documents, right and wrong.
PIECES = st.sampled_from(
    [
        "{", "}", "(", ")", "[", "]", ":", "!", "$", "...", "@", "=", '"', '"""', "\\", "#", "\n",
        "query", "mutation", "subscription", "fragment", "on", "F", "Query", "Item", "true", "null",
        "item", "items", "id", "name", "first", "related", "price", "a:", "(id: 1)", "(first: 2)",
        "(first: -1)", "$n: Int = 3", "(first: $n)", "__typename", "__schema", "@skip(if: true)",
        "1e9", "9" * 30, "\u0000", "\ud7ff",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES | st.text(max_size=5), max_size=30))
def test_whatever_is_sent_as_a_document_is_answered_in_order(standing: Api, pieces: list[str]):
    answer = standing.post(" ".join(pieces), variables={"n": 2})
    assert answer.status in (200, 400)
    assert {"data", "errors"} & set(answer.json)
    codes = [each["extensions"]["code"] for each in answer.json.get("errors", ())]
    assert "INTERNAL_SERVER_ERROR" not in codes


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=40))
def test_whatever_is_sent_as_a_body_is_answered_in_order(standing: Api, body: bytes):
    headers = {"content-type": "application/json"}
    assert standing.client.post("/graphql", body=body, headers=headers).status in (200, 400)
