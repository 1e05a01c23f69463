from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from rolehost.api import Cache

from tests.caching import kit

ENGINES = [pytest.param(name, marks=pytest.mark.engine) for name in ("redis", "memcached")]


@pytest.fixture(params=ENGINES)
def make_shared(request: pytest.FixtureRequest) -> Callable[[], Cache]:
    """A function that creates a client of one shared cache."""
    url = request.getfixturevalue(f"{request.param}_url")
    return partial(getattr(kit, request.param), url, f"test-{secrets.token_hex(6)}")


@pytest.fixture(params=["embedded", *ENGINES])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache of each kind."""
    if request.param == "embedded":
        made = kit.embedded()
    else:
        url = request.getfixturevalue(f"{request.param}_url")
        made = getattr(kit, request.param)(url, f"test-{secrets.token_hex(6)}")
    yield made
    made.close()
