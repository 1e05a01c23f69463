"""The router finds the same routes as Falcon's, but only for one spelling of a path."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import falcon
import pytest
from falcon.routing import CompiledRouter
from hypothesis import given
from hypothesis import strategies as st
from rolehost.api import Route
from rolehost.roles.http.routes import Router
from rolehost.roles.http.scope import FOUND, RULES, Rules

#: Literal and variable segments that stand against each other at every level.
SEGMENTS = ("orders", "users", "{tenant}", "a-{kind}", "{number:int}", "x")

templates = st.lists(st.sampled_from(SEGMENTS), min_size=0, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
paths = st.lists(
    st.sampled_from(("orders", "users", "a-1", "7", "x", "none")), min_size=1, max_size=5
).map(lambda parts: "/" + "/".join(parts))


class Resource:
    async def on_get(self, req: Any, resp: Any, **params: Any) -> None:
        pass


def router_of(*routes: Route) -> Router:
    router = Router(lambda route, method, responder: responder, max_body=1)
    for route in routes:
        router.add(route, None)
    return router


def both(added: list[str]) -> tuple[Router, CompiledRouter]:
    """Return our router and Falcon's with the same routes; both refuse the same routes."""
    ours, bare = router_of(), CompiledRouter()
    resource = Resource()
    for template in added:
        refused = []
        for add in (
            lambda route: ours.add(route, None),
            lambda route: bare.add_route(route.path, route.resource, _asgi=True),
        ):
            try:
                add(Route(template, resource))
            except ValueError as error:
                refused.append(str(error))
        assert len(refused) in (0, 2), (template, refused)
    return ours, bare


def matched(router: Router, raw: str | bytes) -> dict[str, Any]:
    """Return the scope of a request after its route was decided."""
    sent = raw.encode("utf-8") if isinstance(raw, str) else raw
    # The router does not read the decoded path, so it is wrong here.
    scope: dict[str, Any] = {"path": "\0", "raw_path": sent}
    router.match(scope)
    return scope


def variables(router: Router, raw: str | bytes) -> dict[str, Any] | None:
    found = matched(router, raw)[FOUND]
    return None if found is None else dict(found[2])


def answered(router: Router, raw: str | bytes) -> int:
    """Return the status of a path without a route; 200 for one that has a route."""
    scope = matched(router, raw)
    if scope[FOUND] is not None:
        return 200
    try:
        scope[RULES].admit(None)
    except falcon.HTTPError as error:
        return error.status_code
    return 404


@given(st.lists(templates, max_size=8), st.lists(paths, min_size=1, max_size=8))
def test_it_finds_the_same_routes_as_falcons_router(added: list[str], asked: list[str]) -> None:
    ours, bare = both(added)
    for path in asked:
        found, expected = matched(ours, path)[FOUND], bare.find(path)
        assert (found and found[2:]) == (expected and expected[2:]), path


def test_a_variable_matches_segments_that_no_literal_matches() -> None:
    ours, _ = both(["/orders/{order}", "/{tenant}/{thing}/{part}"])
    assert matched(ours, "/orders/1")[RULES].template == "/orders/{order}"
    assert variables(ours, "/orders/1/2") == {"tenant": "orders", "thing": "1", "part": "2"}


def test_the_root_is_a_route_like_others() -> None:
    ours, _ = both(["/"])
    assert matched(ours, "/")[RULES].template == "/"
    assert answered(ours, "") == 404


def test_a_variable_is_never_empty() -> None:
    ours, _ = both(["/{tenant}", "/orders/{order}"])
    assert [answered(ours, raw) for raw in ("/", "/orders", "/orders/")] == [404, 200, 404]


# Spellings

STORE = router_of(
    Route("/api/v1/app/{app_id}", Resource()),
    Route("/api/v1/app", Resource()),
    Route("/files/v{version}/{name:path}", Resource()),
    Route("/café/a+b", Resource()),
    Route("/slashed/{thing}", Resource(), trailing_slash=True),
)

MISSPELLED = [
    "//api/v1/app",
    "///api/v1/app",
    "/api//v1/app",
    "/api/v1//app",
    "/api/v1/app/",
    "/api/v1/app//",
    "/api/v1/app/one/",
    "/%2Fapi/v1/app",
    "/%2fapi/v1/app",
    "/api%2Fv1/app",
    "/api/v1%2Fapp",
    "/%61pi/v1/app",
    "/api/%761/app",
    "/api/v1/%61pp/one",
    "/api/v1/ap%70",
    "/API/v1/app",
    "/api/V1/app",
    "/./api/v1/app",
    "/api/./v1/app",
    "/x/../api/v1/app",
    "/api/v1/app/.",
    "/api/v1/app/..",
    "/api/v1/app/%2e%2e",
    "/api/v1/app/%2E",
    "/%2e/api/v1/app",
    "/api/v1/app;x=1",
    "/api;/v1/app",
    "/api/v1/app/a%2Fb",
    "/api/v1/app/%2f",
    "/api/v1/app%20",
    "/api/v1/app%09",
    "/api/v1/app%0A",
    "/api%5Cv1/app",
    "api/v1/app",
    "http://127.0.0.1/api/v1/app",
    "*",
    "",
    "/files/%761/x",
    "/files/v1/a//b",
    "/files/v1/a%2Fb",
    "/files/v1/a/../b",
    "/slashed/x//",
    "/slashed//",
    "/caf%c3%a9/a+b",
    "/caf%C3%A9/a%2Bb",
    "/cafe%CC%81/a+b",
]

MALFORMED = [
    b"/api/v1/app/%00",
    b"/api/v1/app%00",
    b"/api/v1/app/%",
    b"/api/v1/app/%4",
    b"/api/v1/app/%zz",
    b"/api/v1/app/%u0041",
    b"/api/v1/app/%ff",
    b"/%c0%afapi/v1/app",
    b"/api/v1/app/%c0%ae%c0%ae",
    b"/api/v1/app/%e0%80%af",
    b"/api/v1/app/%ed%a0%80",
    b"/api/v1/app/\xc3\xa9",
    b"/api\\v1\\app",
    b"/api/v1/app/one#two",
    b"/api/v1/app/a b",
    b"/api/v1/app\x00",
    b"/api/v1/app\x7f",
]


@pytest.mark.parametrize("raw", MISSPELLED)
def test_every_other_spelling_of_a_literal_segment_is_not_found(raw: str) -> None:
    assert answered(STORE, raw) == 404


@pytest.mark.parametrize("raw", MALFORMED)
def test_a_text_that_is_not_a_uri_is_malformed(raw: bytes) -> None:
    assert answered(STORE, raw) == 400


def test_a_literal_outside_of_ascii_is_found_by_its_percent_encoding() -> None:
    assert matched(STORE, "/caf%C3%A9/a+b")["path"] == "/café/a+b"


def test_a_trailing_slash_is_accepted_if_the_route_has_it() -> None:
    assert variables(STORE, "/slashed/x/") == {"thing": "x"}
    assert matched(STORE, "/slashed/x/")["path"] == matched(STORE, "/slashed/x")["path"]


values = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1)


@given(values.filter(lambda value: value not in {".", ".."}), st.data())
def test_a_variable_takes_every_percent_encoding_of_its_value(value: str, data: Any) -> None:
    # Each byte that may be sent as it is, is sent so or not, with digits of either case.
    sent = "".join(
        chr(byte)
        if 0x20 < byte < 0x7F and chr(byte) not in "%#\\?" and data.draw(st.booleans())
        else f"%{byte:02{data.draw(st.sampled_from('xX'))}}"
        for byte in value.encode()
    )
    assert variables(STORE, f"/api/v1/app/{sent}") == {"app_id": value}
    assert matched(STORE, f"/api/v1/app/{sent}")["path"] == f"/api/v1/app/{value}"


@given(st.binary(max_size=40))
def test_no_path_but_its_own_reaches_a_route_without_variables(tail: bytes) -> None:
    raw = b"/api/v1/app" + tail
    if b"?" not in tail and matched(STORE, raw)[FOUND] is not None:
        assert tail == b"" or matched(STORE, raw)[RULES].template == "/api/v1/app/{app_id}"


@given(st.text(st.sampled_from("/.%2Fapv1\\;"), max_size=12))
def test_a_matching_path_is_spelled_like_its_template(head: str) -> None:
    scope = matched(STORE, f"{head}/api/v1/app")
    assert scope[FOUND] is None or head == "" or scope[RULES].template.startswith("/files")


def test_without_a_raw_path_nothing_is_found() -> None:
    scope: dict[str, Any] = {"path": "/api/v1/app"}
    STORE.match(scope)
    assert scope[FOUND] is None
    assert isinstance(scope[RULES], Rules)


def test_errors_have_the_format_of_the_route_that_matched() -> None:
    from rolehost.api import ErrorFormat

    def ours(*_: Any) -> tuple[str, bytes]:
        return "text/plain", b""

    resource = Resource()
    router = Router(
        lambda route, method, responder: responder,
        max_body=1,
        formats=[ErrorFormat("/api", ours)],
    )
    for path in ("/api/{thing}", "/{any}/other"):
        router.add(Route(path, resource), None)
    assert matched(router, "/api/" + quote("é"))[RULES].render is ours
    assert matched(router, "/api/none/such")[RULES].render is ours
    # Another route's template, and spellings that are no path below the prefix.
    for raw in ("/api%20/other", "//api/x", "/%61pi/x", "/apix/other"):
        assert matched(router, raw)[RULES].render is None
