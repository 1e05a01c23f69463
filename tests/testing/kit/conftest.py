from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from rolehost.testing.kit import Host, Hosts

from tests.testing.kit import shop


@pytest.fixture(autouse=True)
def nothing_sent() -> Iterator[None]:
    shop.Mailer.sent.clear()
    yield


@pytest.fixture
def open_shop(host: Hosts) -> Callable[..., Host]:
    def opened(**options: object) -> Host:
        return host(plugins={"shop": shop}, **options)

    return opened
