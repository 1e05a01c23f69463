"""One schema of what plugins give; conflicts are found before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import falcon
import pytest
import strawberry
from rolehost.api import Authentication, ConfigurationError, Problem, Secret
from rolehost.api.http import bearer
from rolehost_graphql import Schema
from rolehost_testing.kit import Hosts

from .conftest import Serve
from .shop import SHOP, guard, plugin
from .test_page import BROWSER


@strawberry.type
class Weather:
    @strawberry.field
    def weather(self) -> str:
        return "rain"


@strawberry.type
class Clash:
    @strawberry.field
    def items(self) -> str:
        return "claimed"


@strawberry.type(name="Item")
class OtherItem:
    id: int


@strawberry.type
class ClashingType:
    @strawberry.field
    def other(self) -> OtherItem:
        return OtherItem(id=1)


@strawberry.type
class Unresolvable:
    @strawberry.field
    def thing(self) -> object:
        return object()


def problems(serve: Serve, **plugins: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as refused:
        serve(plugins=plugins)
    return refused.value.problems


def test_fields_of_several_plugins_are_one_schema(serve: Serve):
    api = serve(plugins={"shop": plugin(SHOP), "sky": plugin(Schema(query=Weather))})
    assert api.ask("{ weather item(id: 1) { name } }") == {
        "data": {"weather": "rain", "item": {"name": "item 1"}}
    }


def test_a_field_that_two_plugins_claim_is_told_with_both(serve: Serve):
    (problem,) = problems(serve, shop=plugin(SHOP), rival=plugin(Schema(query=Clash)))
    assert problem.code == "graphql-conflict"
    assert problem.what == "the field Query.items is defined twice"
    assert "plugin rival" in problem.who
    assert "plugin shop" in problem.who


def test_a_type_that_two_plugins_define_is_told_with_both(serve: Serve):
    (problem,) = problems(serve, shop=plugin(SHOP), rival=plugin(Schema(query=ClashingType)))
    assert problem.what == "the type Item is defined twice"
    assert "plugin rival" in problem.who
    assert "plugin shop" in problem.who


def test_types_that_make_no_schema_are_told_with_their_plugin(serve: Serve):
    (problem,) = problems(serve, shop=plugin(SHOP), odd=plugin(Schema(query=Unresolvable)))
    assert problem.code == "graphql-schema"
    assert problem.who.startswith("plugin odd")


def test_a_class_that_is_no_strawberry_type_is_told(serve: Serve):
    (problem,) = problems(serve, odd=plugin(Schema(query=dict)))
    assert problem.code == "graphql-type"


def test_without_anything_to_ask_the_deployment_is_refused(serve: Serve):
    (problem,) = problems(serve, idle=plugin())
    assert problem.code == "graphql-empty"


def test_a_misspelt_extension_point_is_told(serve: Serve):
    found = problems(serve, shop=plugin(SHOP, hook="graphql_schemas"))
    assert found[0].fix == 'did you mean "graphql_schema"?'


def test_a_guard_closes_the_fields_of_its_plugin_and_no_others(serve: Serve):
    closed = Schema(query=SHOP.query, guard=guard)
    api = serve(plugins={"shop": plugin(closed), "sky": plugin(Schema(query=Weather))})
    query = "{ weather item(id: 1) { name } again: item(id: 2) { name } }"
    answer = api.ask(query)
    assert answer["data"] == {"weather": "rain", "item": None, "again": None}
    assert {each["extensions"]["code"] for each in answer["errors"]} == {"UNAUTHENTICATED"}
    fragment = "{ ...F } fragment F on Query { ... { item(id: 1) { name } } }"
    assert api.codes(fragment) == ["UNAUTHENTICATED"]
    assert "errors" not in api.ask(query, {"x-key": "open sesame"})


def test_the_route_admits_whom_one_part_admits_and_each_part_its_own_clients(serve: Serve):
    closed = Schema(query=SHOP.query, authentication=bearer(Secret("shop")))
    sky = Schema(query=Weather, authentication=bearer(Secret("sky")))
    api = serve(plugins={"shop": plugin(closed), "sky": plugin(sky)})
    query = "{ weather item(id: 1) { name } }"
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = api.post(query, headers)
        assert answer.status == 401
        assert answer.json["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert api.client.get("/graphql", headers={**headers, **BROWSER}).status == 401
    assert api.client.get("/graphql/graphiql", headers=BROWSER).status == 200
    answer = api.ask(query, {"authorization": "Bearer sky"})
    assert answer["data"] == {"weather": "rain", "item": None}
    assert [each["extensions"]["code"] for each in answer["errors"]] == ["UNAUTHENTICATED"]
    both = serve(plugins={"shop": plugin(closed), "sky": plugin(Schema(query=Weather))})
    assert both.post("{ weather }").status == 401
    assert "errors" not in both.ask(query, {"authorization": "Bearer shop"})


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (falcon.HTTPForbidden(), "UNAUTHENTICATED"),
        (falcon.HTTPStatus(200), "UNAUTHENTICATED"),
        (RuntimeError("broken"), "INTERNAL_SERVER_ERROR"),
    ],
)
def test_an_authentication_that_raises_closes_its_part_and_no_other(
    serve: Serve, raised: Exception, code: str
):
    def admits(_req: Any) -> bool:
        raise raised

    closed = Schema(query=SHOP.query, authentication=Authentication(admits=admits))
    sky = Schema(query=Weather, authentication=bearer(Secret("sky")))
    api = serve(plugins={"shop": plugin(closed), "sky": plugin(sky)})
    answer = api.ask("{ weather item(id: 1) { name } }", {"authorization": "Bearer sky"})
    assert answer["data"] == {"weather": "rain", "item": None}
    assert [each["extensions"]["code"] for each in answer["errors"]] == [code]
    assert api.post("{ weather }").status in (401, 403, 500)


def test_the_command_prints_the_schema(host: Hosts):
    opened = host(plugins=["graphql", ("shop", plugin(SHOP))])
    printed = opened.invoke("graphql schema").output
    assert "type Query {" in printed
    assert "items(first: Int! = 10): [Item!]!" in printed


@pytest.mark.needs("rolehost_fleet")
def test_where_it_is_not_enabled_it_is_told_what_would_turn_it_on(tmp_path: Path):
    (tmp_path / "rolehost.toml").write_text("plugins = []\n")
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", "why", "route:/graphql"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "would come from: plugin graphql" in " ".join(done.stdout.split())


def test_without_http_nothing_of_strawberry_is_imported():
    script = """
import sys
from rolehost.composition import compose
from rolehost.deployment import read
alone = read(None, plugins=["embedded", "webhooks-api"], environ={})[0]
compose(alone)
assert not {"strawberry", "graphql"} & set(sys.modules), "imported without graphql"
deployment = read(None, plugins=["graphql", "embedded", "webhooks-api"], environ={})[0]
for role in ("worker", "scheduler", "consumer"):
    compose(deployment, role=role)
assert not {"strawberry", "graphql"} & set(sys.modules), "imported in a worker"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
