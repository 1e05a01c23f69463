from __future__ import annotations

from collections.abc import Callable

import pytest
from rolehost_testing.kit import Host, Hosts


@pytest.fixture
def open_shop(host: Hosts) -> Callable[..., Host]:
    """Create a host of the plugin ``shop`` with an empty mailer."""
    # Imported here, for it needs more libraries than the tests that do not use it.
    from contrib.testing.tests.kit import shop

    shop.Mailer.sent.clear()

    def opened(**options: object) -> Host:
        return host(plugins={"shop": shop}, **options)

    return opened
