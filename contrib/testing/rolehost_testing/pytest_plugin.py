"""Fixtures for every test suite that has rolehost installed; loaded by pytest itself.

Imports nothing of the host: a plugin's suite pays for what it uses.
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
    """Announce the marks that tests get by the fixtures that they use."""
    for line in (
        "engine: the test needs PostgreSQL, Redis, memcached or Apache Kafka",
        "own_server: the test starts engines of its own; slower than those that share one",
    ):
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need engines, so that ``-m`` can leave them out."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & _OWN:
            item.add_marker("own_server")
        if used & (_OWN | _SHARED) or item.get_closest_marker("own_server"):
            item.add_marker("engine")


@pytest.fixture
def host() -> Iterator[Hosts]:
    """A function that makes a host of some plugins, in this process: ``host(plugins=[shop])``.

    As :class:`rolehost_testing.kit.Hosts`; closed after the test.
    """
    from rolehost_testing.kit import Hosts

    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.close()


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nothing listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a PostgreSQL that all tests share: each takes a schema or a database of its own."""
    return _shared_url("postgres")


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a Redis that all tests share: each has keys of its own, and nobody flushes."""
    return _shared_url("redis")


@pytest.fixture(scope="session")
def memcached_url() -> str:
    """URL of a memcached that all tests share: each has keys of its own, and nobody flushes."""
    return _shared_url("memcached")


@pytest.fixture(scope="session")
def kafka_url() -> str:
    """URL of an Apache Kafka that all tests share: each has topics and groups of its own."""
    return _shared_url("kafka")


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """A function that starts a server of the test's own: ``start_server("redis", tls=True)``.

    As :func:`rolehost_testing.services.start`; closed after the test.
    """
    with ExitStack() as servers:
        yield partial(_start, servers)


@pytest.fixture(scope="module")
def start_module_server() -> Iterator[Callable[..., Server]]:
    """As ``start_server``, for several tests: closed after the module's last one."""
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
    """Skip the test, for something is not on this machine; with ``CI=true`` fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
