"""Fixtures for every test suite with rolehost installed; pytest loads this module.

The module imports the host only in fixtures, so that unused fixtures cost no time.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from rolehost_testing.kit import Hosts
    from rolehost_testing.services import Server

pytest.register_assert_rewrite("rolehost_testing.conformance")

_OWN = {"start_server", "start_module_server"}
_SHARED = {"postgres_url", "redis_url", "memcached_url", "kafka_url"}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers that tests get from the fixtures that they use."""
    for line in (
        "engine: the test needs PostgreSQL, Redis, memcached or Apache Kafka",
        "own_server: the test starts separate engines; slower than tests that share one",
    ):
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need engines, so that ``-m`` can deselect them."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & _OWN:
            item.add_marker("own_server")
        if used & (_OWN | _SHARED) or item.get_closest_marker("own_server"):
            item.add_marker("engine")


@pytest.fixture
def host() -> Iterator[Hosts]:
    """A function that creates a host with plugins in this process: ``host(plugins=[shop])``.

    See :class:`rolehost_testing.kit.Hosts`. The hosts are closed after the test.
    """
    from rolehost_testing.kit import Hosts

    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.close()


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that was free at the time of the check."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a PostgreSQL that all tests share; each test uses a separate schema or database."""
    return _shared_url("postgres")


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a Redis that all tests share; each test uses separate keys and must not flush."""
    return _shared_url("redis")


@pytest.fixture(scope="session")
def memcached_url() -> str:
    """URL of a memcached that all tests share; each test uses separate keys and must not flush."""
    return _shared_url("memcached")


@pytest.fixture(scope="session")
def kafka_url() -> str:
    """URL of an Apache Kafka that all tests share; each test uses separate topics and groups."""
    return _shared_url("kafka")


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """A function that starts a separate server: ``start_server("redis", tls=True)``.

    See :func:`rolehost_testing.services.start`. The servers are closed after the test.
    """
    with ExitStack() as servers:
        yield partial(_start, servers)


@pytest.fixture(scope="module")
def start_module_server() -> Iterator[Callable[..., Server]]:
    """Like ``start_server``, but the servers are closed after the last test of the module."""
    with ExitStack() as servers:
        yield partial(_start, servers)


def _start(servers: ExitStack, name: str, **options: Any) -> Server:
    from rolehost_testing.services import Missing, start

    try:
        return servers.enter_context(start(name, **options))
    except Missing as missing:
        unavailable(str(missing))


def _shared_url(name: str) -> str:
    from rolehost_testing.services import Missing, shared_url

    try:
        return shared_url(name)
    except Missing as missing:
        unavailable(str(missing))


def unavailable(reason: str) -> NoReturn:
    """Skip the test because something is not on this machine; fail it if ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
