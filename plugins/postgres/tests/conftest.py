from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from rolehost.api import Secret
from rolehost_postgres.settings import PostgresSettings


@pytest.fixture
def url(postgres_url: str) -> str:
    """A server's URL."""
    return postgres_url


@pytest.fixture
def settings(url: str) -> Iterator[PostgresSettings]:
    """Settings that use a schema of their own, gone after the test."""
    schema = f"test_{uuid.uuid4().hex}"
    admin = psycopg2.connect(url)
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {schema}")
        dsn = make_dsn(url, options=f"-c search_path={schema}")
        yield PostgresSettings(url=Secret(dsn), pool_size=8, pool_timeout=5.0, lock_timeout=5.0)
        with admin.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        admin.close()


@pytest.fixture
def parts(url: str) -> dict[str, str]:
    """The server's URL in its parts, for tests that spoil one of them."""
    found: dict[str, str] = parse_dsn(url)
    return found
