"""What is counted of operations, and that nothing of it is a client's to choose."""

from __future__ import annotations

import pytest
from rolehost_graphql.metrics import METRICS

from .conftest import Api, Serve
from .shop import TILL, plugin


def counted(api: Api) -> dict[tuple[str, ...], float]:
    """Return what the counters say: name without ``graphql_`` and labels → how much."""
    return {
        (key[0].removeprefix("graphql_"), *key[1:]): sum(told)
        for key, told in api.own.items()
        if not key[0].endswith("_seconds")
    }


def timed(api: Api) -> dict[str, int]:
    """Return how many durations were observed, by operation."""
    return {
        key[1]: len(told) for key, told in api.own.items() if key[0].endswith("duration_seconds")
    }


def test_operations_are_counted_by_type_and_outcome_and_timed(till: Api):
    till.ask("{ item(id: 1) { name } }")
    till.ask("{ item(id: 2) { name } }")
    till.ask("mutation { sell(id: 2) { price } }")
    till.ask("mutation { sell(id: 0) { price } }")
    till.ask("{ broken }")
    assert counted(till) == {
        ("operations", "query", "completed"): 2,
        ("operations", "query", "failed"): 1,
        ("operations", "mutation", "completed"): 1,
        ("operations", "mutation", "failed"): 1,
    }
    assert timed(till) == {"query": 3, "mutation": 2}


@pytest.mark.parametrize(
    ("query", "settings", "operation", "code"),
    [
        ("{ items { related { related { id } } } }", {"max_depth": 3}, "query", "QUERY_TOO_DEEP"),
        ("{ items(first: 9) { id } }", {"max_cost": 5}, "query", "QUERY_TOO_COSTLY"),
        (
            "{ a: __typename b: __typename }",
            {"max_aliases": 1},
            "unknown",
            "TOO_MANY_ALIASES",
        ),
        ("{ nothing }", {}, "unknown", "GRAPHQL_VALIDATION_FAILED"),
        ("{ item(id: 1) {", {}, "unknown", "GRAPHQL_PARSE_FAILED"),
        ("query($id: Int!) { item(id: $id) { id } }", {}, "query", "BAD_USER_INPUT"),
        (
            "query A { __typename } query B { __typename }",
            {},
            "unknown",
            "OPERATION_RESOLUTION_FAILURE",
        ),
    ],
)
def test_what_is_not_executed_is_counted_with_its_reason_and_not_timed(
    serve: Serve, query: str, settings: dict[str, int], operation: str, code: str
):
    api = serve(**settings)
    api.ask(query)
    assert counted(api) == {
        ("operations", operation, "refused"): 1,
        ("refusals", code): 1,
    }
    assert timed(api) == {}


def test_a_mutation_by_get_is_a_refused_mutation(serve: Serve):
    api = serve(plugins={"till": plugin(TILL)})
    api.get(query="mutation { sell(id: 2) { id } }")
    assert counted(api)["operations", "mutation", "refused"] == 1


def test_what_is_no_request_of_graphql_is_counted_too(api: Api):
    api.client.post("/graphql", json=[{"query": "{ __typename }"}])
    api.get({"x-requested-with": ""}, query="{ __typename }")
    assert counted(api) == {
        ("operations", "unknown", "refused"): 2,
        ("refusals", "BAD_REQUEST"): 2,
    }


def test_an_operation_whose_time_is_over_was_executed_and_failed(serve: Serve):
    api = serve(time_limit=0.05)
    api.ask("{ slow }")
    assert counted(api) == {("operations", "query", "failed"): 1}
    assert timed(api) == {"query": 1}


def test_names_that_a_client_gives_are_on_no_label(api: Api):
    api.post("query Chosen { chosen: item(id: 1) { id } }", operationName="Chosen")
    api.post("query Chosen { item(id: 1) { id } }", operationName="Another")
    labels = {label for key in api.own for label in key[1:]}
    assert labels == {"query", "completed", "unknown", "refused", "OPERATION_RESOLUTION_FAILURE"}


def test_every_metric_stands_in_the_readme(api: Api, readme: str):
    for metric in METRICS:
        shown = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        assert f"`{shown}`" in readme
