"""The router finds what Falcon's own finds, whatever the plugins' paths begin with."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.routing import CompiledRouter
from hypothesis import given
from hypothesis import strategies as st
from rolehost.api import Route
from rolehost.roles.http.responders import Pool
from rolehost.roles.http.routes import Router

from tests.http.fakes import FakeServices

#: Literal and variable segments that stand against each other at every level.
SEGMENTS = ("orders", "users", "{tenant}", "a-{kind}", "{number:int}", "x", "")

templates = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
paths = st.lists(
    st.sampled_from(("orders", "users", "a-1", "7", "x", "none", "")), min_size=0, max_size=5
).map(lambda parts: "/" + "/".join(parts))


class Resource:
    async def on_get(self, req: Any, resp: Any, **params: Any) -> None:
        pass


def both(added: list[str]) -> tuple[Router, CompiledRouter]:
    """Return our router and Falcon's with the same routes; what one refuses, both do."""
    ours, bare = Router(Pool(1, None), FakeServices()), CompiledRouter()  # type: ignore[arg-type]
    resource = Resource()
    for template in added:
        refused = []
        for router in (ours, bare):
            try:
                router.add_route(template, resource, _asgi=True, route=Route(template, resource))
            except ValueError as error:
                refused.append(str(error))
        assert len(refused) in (0, 2), (template, refused)
    return ours, bare


@given(st.lists(templates, max_size=8), st.lists(paths, min_size=1, max_size=8))
def test_it_finds_what_falcons_router_finds(added: list[str], asked: list[str]) -> None:
    ours, bare = both(added)
    for path in asked:
        found, expected = ours.find(path), bare.find(path)
        assert (found and found[2:]) == (expected and expected[2:]), path


def test_a_route_of_a_variable_has_what_no_literal_one_takes() -> None:
    ours, _ = both(["/orders/{order}", "/{tenant}/{thing}/{part}"])
    assert ours.find("/orders/1")[3] == "/orders/{order}"
    assert ours.find("/orders/1/2")[2] == {"tenant": "orders", "thing": "1", "part": "2"}


@pytest.mark.parametrize("path", ["/", ""])
def test_the_root_is_a_route_like_others(path: str) -> None:
    ours, _ = both(["/"])
    assert ours.find(path)[3] == "/"
