from __future__ import annotations

import pytest
from rolehost.api import Secret
from rolehost_postgres.identity import identity
from rolehost_postgres.settings import PostgresSettings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:hunter2@db.example/shop", "db.example:5432/shop"),
        ("postgresql://db.example:6543/shop?sslmode=require", "db.example:6543/shop"),
        ("postgresql://b.example,a.example:5433/shop", "a.example:5433,b.example:5432/shop"),
        ("postgresql://[::1]/shop", "[::1]:5432/shop"),
        ("postgresql://%2Frun%2Fpostgresql/shop", "/run/postgresql:5432/shop"),
        ("postgresql:///shop?host=/run/postgresql", "/run/postgresql:5432/shop"),
        ("postgresql://me@/?host=db.example&port=6543&dbname=shop", "db.example:6543/shop"),
    ],
)
def test_it_is_host_port_and_database(url: str, expected: str) -> None:
    assert identity(PostgresSettings(url=Secret(url))) == expected


@pytest.mark.parametrize(
    "url",
    [None, "postgresql:///shop", "postgresql://db.example", "postgresql://x/shop?service=main"],
)
def test_it_is_not_told_where_the_environment_decides(url: str | None) -> None:
    assert identity(PostgresSettings(url=None if url is None else Secret(url))) == ""


def test_a_password_does_not_change_it() -> None:
    one, other = (
        identity(PostgresSettings(url=Secret(f"postgresql://me:{word}@db.example/shop")))
        for word in ("hunter2", "hunter3")
    )

    assert one == other
    assert "hunter" not in one
