"""The fixture ``host``: applications that are called as the server calls them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.hosts import Host


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()
