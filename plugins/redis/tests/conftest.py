from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

import pytest
from rolehost.api import Secret
from rolehost_redis.settings import RedisSettings


@pytest.fixture
def namespace() -> str:
    """Every test has its own."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def url(redis_url: str) -> str:
    """Of a server to test with."""
    return redis_url


@pytest.fixture
def settings(url: str, namespace: str) -> RedisSettings:
    return RedisSettings(url=Secret(url), namespace=namespace)


@pytest.fixture
def closed_port() -> int:
    """An unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
