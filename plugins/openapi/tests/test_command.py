from __future__ import annotations

import json
from types import SimpleNamespace

from click.testing import CliRunner
from rolehost.api import Route
from rolehost.api.http import operation
from rolehost_openapi.command import openapi
from rolehost_openapi.settings import OpenapiSettings

from .shop import ERRORS, ROUTES


def context(routes):
    """What a contributed command finds in ``ctx.obj``, as far as this one looks."""
    owned = [SimpleNamespace(plugin=plugin, value=route) for plugin, route in routes]
    formats = [SimpleNamespace(plugin=plugin, value=each) for plugin, each in ERRORS]
    return SimpleNamespace(
        composition=SimpleNamespace(
            routes=owned,
            error_formats=formats,
            deployment=SimpleNamespace(name="shop"),
            plugin=lambda name: SimpleNamespace(settings=OpenapiSettings()),
        )
    )


def test_the_command_prints_the_document():
    ended = CliRunner().invoke(openapi, obj=context(ROUTES))
    assert ended.exit_code == 0
    assert "/orders" in json.loads(ended.output)["paths"]
    assert ended.output.startswith('{\n  "openapi": "3.1.1"')


def test_compact_is_byte_for_byte_what_is_served(serving):
    here = serving()
    ended = here.invoke("openapi --compact")
    assert ended.stdout_bytes.rstrip(b"\n") == here.client.get("/openapi.json").body


def test_a_type_without_a_schema_ends_the_command_with_one_line():
    class Broken:
        @operation(responses={200: dict[float, list[int] | list[str]]})
        def on_get(self, req, resp): ...

    ended = CliRunner().invoke(openapi, obj=context([("shop", Route("/x", Broken()))]))
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: GET /x of plugin shop: dict[")


def test_a_fleet_s_document_has_every_route_once(tmp_path):
    one, two = context(ROUTES[:1]), context(ROUTES)
    fleet = SimpleNamespace(
        compositions=lambda paths: [one.composition, two.composition][: len(paths)]
    )

    ended = CliRunner().invoke(openapi, ["one.toml", "two.toml"], obj=fleet)

    assert ended.exit_code == 0, ended.output
    alone = CliRunner().invoke(openapi, obj=two)
    told, expected = json.loads(ended.output), json.loads(alone.output)
    assert told["info"].pop("title") == "shop, shop"
    assert expected["info"].pop("title") == "shop"
    assert told == expected
