from __future__ import annotations

from collections.abc import Callable

import pytest
from rolehost.api import Secret
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings
from rolehost_testing.conformance import DatabaseRestartConformance, QueueRestartConformance


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server("postgres")


@pytest.fixture
def settings(server) -> PostgresSettings:
    return PostgresSettings(url=Secret(server.url), pool_timeout=5.0, lock_timeout=5.0)


class TestPostgresDatabaseRestart(DatabaseRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, settings: PostgresSettings) -> Callable[[], PostgresDatabase]:
        return lambda: PostgresDatabase(settings)


class TestPostgresQueueRestart(QueueRestartConformance):
    @pytest.fixture
    def server(self, server):
        return server

    @pytest.fixture
    def make_backend(self, settings: PostgresSettings) -> Callable[[], PostgresQueue]:
        return lambda: PostgresQueue(settings)
