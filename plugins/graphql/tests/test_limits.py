"""The limits of an operation, and the errors in its answer."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import build_schema, parse
from rolehost_graphql import Schema
from rolehost_graphql.measuring import Limits, Measure, count_aliases, measure

from .conftest import Api, Serve
from .shop import BATCHES, LATE, Unfinished, plugin

SCHEMA = build_schema("""
    type Query {
        shops(first: Int = 20): Shops  all: [Shop!]!  some(limit: Int): [Shop]  one: Shop  any: Any
    }
    union Any = Shop | Sign
    type Sign { shop: Shop text: String }
    type Shops { edges: [Edge!]! total: Int pageInfo: PageInfo }
    type PageInfo { more: Boolean }
    type Edge { node: Shop cursor: String }
    type Shop { name: String doors(first: Int = 10): Doors self: Shop tags: [String] }
    type Doors { nodes: [Door] }
    type Door { width: Int shop: Shop }
""")


def measured(query: str, cost: int = 10**9, depth: int = 99, **variables: Any) -> Measure:
    document = parse(query)
    operation: Any = document.definitions[0]
    return measure(SCHEMA, document, operation, variables, Limits(depth, cost, 10))


@pytest.mark.parametrize(
    ("query", "cost", "depth"),
    [
        ("{ __typename }", 0, 1),
        ("{ one { name tags } }", 1, 2),
        ("{ one { self { self { name } } } }", 3, 4),
        ("{ all { name } }", 10, 2),
        ("{ some(limit: 3) { name } }", 3, 2),
        ("{ some { name } }", 10, 2),
        ("{ some(limit: 0) { name } }", 1, 2),
        ("{ shops(first: 3) { edges { node { name } } } }", 7, 4),
        ("{ shops(first: 3) { total pageInfo { more } } }", 2, 3),
        ("{ shops { edges { cursor } } }", 21, 3),
        (
            "{ shops(first: 20) { edges { node { doors(first: 5) { nodes { width } } } } } }",
            161,
            6,
        ),
        ("{ any { ... on Shop { self { name } } ... on Sign { shop { name } } } }", 3, 3),
        ("{ one { name } one { self { name } } }", 2, 3),
        ("{ a: one { name } b: one { name } }", 2, 2),
        ("{ one { ...F ...F } } fragment F on Shop { self { name } }", 2, 3),
    ],
)
def test_cost_is_the_number_of_objects_that_may_be_asked_for(query: str, cost: int, depth: int):
    assert measured(query) == Measure(depth=depth, cost=cost)


def test_variables_and_their_defaults_say_how_long_a_list_is():
    query = "query($n: Int = 3) { some(limit: $n) { name } }"
    assert measured(query).cost == 3
    assert measured(query, n=7).cost == 7
    assert measured(query, n=8.0).cost == 8
    assert measured(query, n=None).cost == 10


def test_fragments_that_multiply_are_given_up_soon():
    levels = 40
    query = "{ one { ...F0 } }" + "".join(
        f" fragment F{n} on Shop {{ a: self {{ ...F{n + 1} }} b: self {{ ...F{n + 1} }} }}"
        for n in range(levels)
    )
    query += f" fragment F{levels} on Shop {{ name }}"
    with pytest.raises(Exception, match="more than the 5000 objects"):
        measured(query, cost=5000)


def test_aliases_are_counted_wherever_they_stand():
    query = "{ a: one { b: name ... { c: name } ...F } } fragment F on Shop { d: name name }"
    assert count_aliases(parse(query)) == 4


def nested(levels: int) -> str:
    return "{ item(id: 1) " + "{ related(first: 1) " * levels + "{ id }" + " }" * levels + " }"


def test_an_operation_that_is_too_deep_is_not_run(serve: Serve):
    api = serve(max_depth=5)
    assert api.codes(nested(3)) == []
    assert api.codes(nested(4)) == ["QUERY_TOO_DEEP"]


def test_an_operation_that_costs_too_much_is_not_run(serve: Serve):
    api = serve(max_cost=100)
    assert api.codes("{ items(first: 100) { price } }") == []
    BATCHES.clear()
    answer = api.post("{ items(first: 10) { related(first: 10) { price } } }")
    assert answer.status == 400
    assert answer.json["errors"][0]["extensions"] == {"code": "QUERY_TOO_COSTLY", "maxCost": 100}
    assert BATCHES == []


def test_a_field_may_say_what_it_costs(serve: Serve):
    api = serve(max_cost=100)
    assert api.codes("{ item(id: 1) { forecast } }") == []
    assert api.codes("{ items(first: 2) { forecast } }") == ["QUERY_TOO_COSTLY"]


def test_a_flood_of_aliases_is_refused(serve: Serve):
    api = serve(max_aliases=10)
    flood = "{" + " ".join(f"a{n}: __typename" for n in range(11)) + "}"
    assert api.codes(flood) == ["TOO_MANY_ALIASES"]
    assert api.codes("{" + " ".join(f"a{n}: __typename" for n in range(10)) + "}") == []


def test_a_document_of_too_many_tokens_is_refused_while_it_is_read(serve: Serve):
    api = serve(max_tokens=100)
    assert api.codes("{" + " __typename" * 200 + "}") == ["GRAPHQL_PARSE_FAILED"]


def test_a_nest_deeper_than_the_stack_is_an_error_like_others(api: Api):
    assert api.codes("{ a" * 900 + "}" * 900) != []


def test_introspection_nested_without_end_is_refused(api: Api):
    deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { name }"
    assert set(api.codes(deep + " }" * 9)) == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize(
    ("environment", "settings", "answered"),
    [
        ("development", {}, True),
        ("production", {}, False),
        ("production", {"introspection": True}, True),
        ("development", {"introspection": False}, False),
    ],
)
def test_the_schema_is_told_or_not(
    serve: Serve, environment: str, settings: dict[str, Any], answered: bool
):
    api = serve(environment, **settings)
    told = api.ask("{ __schema { queryType { name } } }")
    assert ("data" in told) == answered
    guessed = api.ask("{ itm(id: 1) { name } }")["errors"][0]["message"]
    assert ("Did you mean" in guessed) == answered
    assert api.ask("{ __typename }") == {"data": {"__typename": "Query"}}


def test_an_operation_ends_when_its_time_is_over(serve: Serve):
    answer = serve(time_limit=0.05).post("{ slow }")
    assert answer.status == 504
    assert answer.json["errors"][0]["extensions"]["code"] == "TIME_LIMIT"


def test_nothing_of_an_operation_goes_on_after_its_answer(serve: Serve):
    api = serve(plugins={"unfinished": plugin(Schema(query=Unfinished))})
    assert api.ask("{ later must }")["data"] is None
    assert api.ask("{ nap }") == {"data": {"nap": "awake"}}
    assert LATE == []


def test_documents_are_kept_up_to_a_number(serve: Serve):
    api = serve(cached_documents=2)
    for number in (1, 2, 3, 1):
        assert api.ask(f"{{ item(id: {number}) {{ id }} }}")["data"] == {"item": {"id": number}}


# --- errors -----------------------------------------------------------------------------------


def test_what_nobody_meant_for_the_client_is_masked_and_logged(api: Api, caplog: Any):
    answer = api.post("{ broken }")
    (error,) = answer.json["errors"]
    assert error["message"] == "Internal error"
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["extensions"]["requestId"] == answer.headers["x-request-id"]
    assert b"hunter2" not in answer.body


def test_what_is_meant_for_the_client_is_told(api: Api):
    (error,) = api.ask("{ refused }")["errors"]
    assert error["message"] == "not on Sundays"
    assert error["path"] == ["refused"]
    assert error["extensions"] == {"code": "CLOSED", "day": "Sunday"}


def test_a_plugin_may_translate_its_own_exceptions(api: Api):
    assert api.codes("{ missing }") == ["NOT_FOUND"]


def test_storage_that_is_away_is_told_without_its_address(api: Api):
    answer = api.post("{ away item(id: 1) { name } }")
    assert answer.json["data"] == {"away": None, "item": {"name": "item 1"}}
    assert answer.json["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert b"10.0.0.7" not in answer.body


def test_what_is_looked_up_together_is_one_batch(api: Api):
    api.ask("{ items(first: 3) { price } a: item(id: 2) { price } b: item(id: 9) { price } }")
    assert [sorted(keys) for keys in BATCHES] == [[1, 2, 3, 9]]


def test_each_request_looks_up_anew(api: Api):
    for _ in range(2):
        api.ask("{ item(id: 2) { price } }")
    assert BATCHES == [[2], [2]]


def test_what_was_looked_up_before_a_mutation_is_looked_up_again_after_it(till: Api):
    till.ask("mutation { a: sell(id: 2) { price } b: sell(id: 2) { price } }")
    assert BATCHES == [[2], [2]]
