"""Errors of clients are 4xx on the routes of every plugin and on every database."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import falcon
import msgspec
import pytest
from rolehost.api import PLUGIN_API, PluginInfo, Route, hookimpl, load_json
from rolehost.api.http import decode
from rolehost.api.json import MAX_DEPTH
from rolehost_testing.kit import Host, open_host


class Body(msgspec.Struct):
    text: str = ""
    number: int = 0
    anything: Any = None


class Notes:
    """Passes values to the database unchecked, as a careless plugin does."""

    def on_post(self, req: Any, resp: Any) -> None:
        body = decode(req.context.body, Body)
        values = (body.text, body.number)
        req.context.services.database.read("SELECT ?, CAST(? AS BIGINT)", values)

    def on_get(self, req: Any, resp: Any) -> None:
        req.context.services.database.read("SELECT ?", (req.get_param("text"),))


class Media:
    async def on_post(self, req: Any, resp: Any) -> None:
        await req.get_media()


plugin = ModuleType("notes")


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=PLUGIN_API, summary="notes", requires=("database",))


@hookimpl
def rolehost_routes() -> list[Route]:
    return [Route("/notes", Notes()), Route("/media", Media())]


plugin.rolehost_plugin = rolehost_plugin  # type: ignore[attr-defined]
plugin.rolehost_routes = rolehost_routes  # type: ignore[attr-defined]


@pytest.fixture(
    scope="module", params=["memory", pytest.param("postgres", marks=pytest.mark.engine)]
)
def here(request: pytest.FixtureRequest) -> Iterator[Host]:
    options: dict[str, Any] = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        options = {"backends": ("postgres", "memory"), "settings": {"postgres": {"url": url}}}
    with open_host({"notes": plugin}, **options) as host:
        yield host


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body", [b'{"text":"a\\u0000b"}', b'{"text":"\\u0000"}', b'{"number":%d}' % 10**400]
)
def test_a_value_that_the_database_cannot_store_is_422(here: Host, body: bytes) -> None:
    answer = here.client.post("/notes", body=body, headers=JSON)
    assert (answer.status, answer.json["code"]) == (422, "value_refused")
    assert "postgres" not in answer.text


def test_a_text_in_the_query_is_no_different(here: Host) -> None:
    assert here.client.get("/notes?text=%00").status == 422


@pytest.mark.parametrize(
    "body",
    [
        b'{"anything":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b"[" * 1_000_000,
        b'{"unknown":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
        b'{"text":"\xff"}',
        b'{"unknown\xff":1}',
        b'{"text":"\\ud800"}',
        b'{"text":"\\ud800',
        b"\xff\xfe{\0}\0",
        b"",
        b"NaN",
    ],
)
@pytest.mark.parametrize("path", ["/notes", "/media"])
def test_malformed_json_is_400(here: Host, path: str, body: bytes) -> None:
    answer = here.client.post(path, body=body, headers=JSON)
    assert answer.status == 400, answer


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000])
def test_a_number_out_of_range_is_a_client_error(here: Host, number: bytes) -> None:
    for field in (b"number", b"anything"):
        body = b'{"%s":%s}' % (field, number)
        assert here.client.post("/notes", body=body, headers=JSON).status == 422
        assert here.client.post("/media", body=body, headers=JSON).status == 400


def test_nesting_is_counted_outside_of_texts_and_the_limit_is_exact() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    load_json(deepest)
    load_json(b"[" + b",".join([b"[[]]"] * 1000) + b"]")
    load_json(b'["' + b"[" * 1000 + b'\\"[[[", "\\\\", "[[' + b"{" * 1000 + b'"]')
    for deep in (b"[" + deepest + b"]", b'{"a":' + deepest + b"}", b'["\\\\",' + deepest + b"]"):
        with pytest.raises(ValueError, match="nested deeper than 200 levels"):
            load_json(deep)
        with pytest.raises(falcon.HTTPBadRequest):
            decode(deep, Body)


def test_an_unending_text_takes_one_pass() -> None:
    # Without possessive quantifiers this would take hours.
    with pytest.raises(ValueError, match="nested deeper"):
        load_json(b"[" * 201 + b'"' + b'\\"' * 500_000)
