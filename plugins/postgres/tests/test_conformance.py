from __future__ import annotations

from collections.abc import Callable

import pytest
from rolehost.api import Secret
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings
from rolehost_testing.conformance import DatabaseConformance, QueueConformance


class Opener:
    """Makes clients in other processes too, where a Secret does not travel."""

    def __init__(self, kind: type, settings: PostgresSettings) -> None:
        self.kind = kind
        self.settings = settings

    def __call__(self):
        return self.kind(self.settings)

    def __reduce__(self):
        fields = {name: getattr(self.settings, name) for name in self.settings.__struct_fields__}
        fields.pop("password")
        return _opener, (self.kind, fields.pop("url").reveal(), fields)


def _opener(kind, url, fields):
    return Opener(kind, PostgresSettings(url=Secret(url), **fields))


class TestPostgresDatabase(DatabaseConformance):
    @pytest.fixture
    def make_backend(self, settings: PostgresSettings) -> Callable[[], PostgresDatabase]:
        return Opener(PostgresDatabase, settings)


class TestPostgresQueue(QueueConformance):
    @pytest.fixture
    def make_backend(self, settings: PostgresSettings) -> Callable[[], PostgresQueue]:
        return Opener(PostgresQueue, settings)

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], PostgresQueue]:
        def make(host: str, port: int) -> PostgresQueue:
            url = Secret(f"postgresql://nobody@{host}:{port}/none")
            return PostgresQueue(PostgresSettings(url=url, connect_timeout=2))

        return make
