from __future__ import annotations

import random

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from rolehost.api import Route
from rolehost.api.http import operation
from rolehost_openapi.document import build
from rolehost_openapi.settings import OpenapiSettings

from .shop import ERRORS, ROUTES


def document(routes=ROUTES, errors=(), **settings):
    """Build, and read back what is served."""
    built = build(routes, errors, deployment="shop", settings=OpenapiSettings(**settings))
    return msgspec.json.decode(msgspec.json.encode(built))


def route(path="/thing", **described):
    class Thing:
        @operation(**described)
        def on_get(self, req, resp): ...

    return ("things", Route(path, Thing()))


@pytest.mark.parametrize("routes", [[], ROUTES], ids=["empty", "shop"])
def test_the_document_is_valid_openapi_3_1(routes):
    validate(
        document(routes, ERRORS, description="All of it", servers=("https://api.example",)),
        cls=OpenAPIV31SpecValidator,
    )


def test_title_version_and_servers_come_from_the_settings():
    settings = {"title": "Shop", "version": "3", "servers": ("https://a", "https://b")}
    described = document(**settings)
    assert described["info"] == {"title": "Shop", "version": "3"}
    assert described["servers"] == [{"url": "https://a"}, {"url": "https://b"}]


def test_without_a_title_the_deployment_gives_its_name():
    assert document()["info"]["title"] == "shop"


def test_every_operation_that_is_not_hidden_is_there():
    paths = document()["paths"]
    assert {path: sorted(item) for path, item in paths.items()} == {
        "/orders": ["get", "post"],
        "/orders/{number}": ["delete", "get"],
        "/orders/{number}/invoice": ["get"],
    }


def test_path_parameters_have_the_type_of_their_converter():
    (parameter,) = document()["paths"]["/orders/{number}"]["get"]["parameters"]
    assert parameter == {
        "name": "number",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }


def test_query_parameters_are_the_fields_of_the_type_as_they_are_encoded():
    customer, page_size = document()["paths"]["/orders"]["get"]["parameters"]
    assert customer == {
        "name": "customer",
        "in": "query",
        "required": True,
        "schema": {"type": "string"},
    }
    assert page_size["name"] == "pageSize"
    assert page_size["required"] is False
    assert page_size["schema"] == {"type": "integer", "minimum": 1, "maximum": 250, "default": 50}


def test_a_type_that_only_describes_the_query_is_no_component():
    assert set(document()["components"]["schemas"]) == {
        "Line",
        "OrderIn",
        "OrderOut",
        "ProblemDetails",
    }


def test_bodies_refer_to_the_schemas_of_their_types():
    described = document()["paths"]["/orders"]["post"]
    reference = {"application/json": {"schema": {"$ref": "#/components/schemas/OrderIn"}}}
    assert described["requestBody"] == {"required": True, "content": reference}
    assert described["responses"]["409"] == {"description": "Conflict"}


def test_a_body_that_is_no_json_has_its_media_type():
    described = document()["paths"]["/orders/{number}/invoice"]["get"]
    assert described["responses"]["200"]["content"] == {"application/pdf": {}}


def test_errors_are_problem_details_unless_the_path_has_a_format_of_its_own():
    plain = document()["paths"]["/orders"]["get"]["responses"]["default"]["content"]
    reference = {"$ref": "#/components/schemas/ProblemDetails"}
    assert plain == {"application/problem+json": {"schema": reference}}
    routes = [*ROUTES, route("/ordersheet")]
    paths = document(routes, ERRORS)["paths"]
    own = paths["/orders/{number}"]["get"]["responses"]["default"]["content"]
    assert own == {"application/vnd.shop.error+json": {"example": {"wrong": True}}}
    beside = paths["/ordersheet"]["get"]["responses"]["default"]["content"]
    assert beside == plain


def test_idempotent_routes_take_a_key():
    orders = document()["paths"]["/orders"]
    assert [parameter["name"] for parameter in orders["post"]["parameters"]] == ["Idempotency-Key"]
    assert "Idempotency-Key" not in [each["name"] for each in orders["get"]["parameters"]]


def test_operation_ids_are_unique_and_made_of_method_and_path():
    paths = document()["paths"]
    ids = {
        (path, method): op["operationId"] for path, i in paths.items() for method, op in i.items()
    }
    assert ids == {
        ("/orders", "get"): "get_orders",
        ("/orders", "post"): "order",
        ("/orders/{number}", "get"): "get_orders_number",
        ("/orders/{number}", "delete"): "order_2",
        ("/orders/{number}/invoice", "get"): "get_orders_number_invoice",
    }


def test_a_made_id_gives_way_to_one_that_a_plugin_chose():
    routes = [route("/a"), route("/b", operation_id="get_a")]
    paths = document(routes)["paths"]
    assert paths["/b"]["get"]["operationId"] == "get_a"
    assert paths["/a"]["get"]["operationId"] == "get_a_2"


def test_operations_are_tagged_with_their_plugin_unless_they_say_otherwise():
    described = document()
    assert described["paths"]["/orders"]["get"]["tags"] == ["shop"]
    assert described["paths"]["/orders/{number}"]["delete"]["tags"] == ["admin"]
    assert described["tags"] == [{"name": "admin"}, {"name": "shop"}]


def test_without_a_summary_the_docstring_is_taken():
    described = document()["paths"]["/orders"]["post"]
    assert described["summary"] == "Place an order."
    assert described["description"] == "It is shipped at once."


def test_the_order_of_plugins_does_not_change_the_document():
    first = msgspec.json.encode(build(ROUTES, ERRORS, deployment="d", settings=OpenapiSettings()))
    routes = list(ROUTES)
    for seed in range(5):
        random.Random(seed).shuffle(routes)
        assert (
            msgspec.json.encode(build(routes, ERRORS, deployment="d", settings=OpenapiSettings()))
            == first
        )


def test_types_of_one_name_are_told_apart():
    def named(field):
        return msgspec.defstruct("Item", [(field, int)], module=field)

    described = document(
        [route("/a", responses={200: named("one")}), route("/b", responses={200: named("two")})]
    )
    assert len(described["components"]["schemas"]) == 3  # and ProblemDetails
    validate(described, cls=OpenAPIV31SpecValidator)


def test_a_type_that_a_plugin_encodes_by_itself_may_be_any_json():
    class Opaque: ...

    described = document([route(responses={200: Opaque})])
    assert described["paths"]["/thing"]["get"]["responses"]["200"]["content"] == {
        "application/json": {"schema": {"description": "Any JSON."}}
    }


def test_a_type_without_a_schema_is_an_error_that_names_the_operation():
    with pytest.raises(TypeError, match=r"GET /thing of plugin things: .* cannot be converted"):
        document([route(responses={200: dict[float, list[complex] | dict[str, int] | list[int]]})])
