from __future__ import annotations

import pytest
from rolehost_postgres.placeholders import many_rows, prepared, translate


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ?", "SELECT %s"),
        ("SELECT '?', \"a?\", ?", "SELECT '?', \"a?\", %s"),
        ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', %s"),
        (r"SELECT E'\' ?', ?", r"SELECT E'\' ?', %s"),
        ("SELECT a % ? -- why?\n, ?", "SELECT a %% %s -- why?\n, %s"),
        ("SELECT '100%', /* ?% */ ?", "SELECT '100%%', /* ?%% */ %s"),
        ("SELECT $$ ? $$, $x$ ? $$ $x$, ?", "SELECT $$ ? $$, $x$ ? $$ $x$, %s"),
    ],
)
def test_only_marks_outside_of_texts_names_and_comments_are_parameters(
    sql: str, expected: str
) -> None:
    assert translate(sql) == expected


def test_a_prepared_statement_has_numbered_parameters_and_its_own_name() -> None:
    prepare, execute = prepared("INSERT INTO t VALUES (?, '?', 5 % ?)")
    name = execute.split()[1]
    assert prepare == f"PREPARE {name} AS INSERT INTO t VALUES ($1, '?', 5 % $2)"
    assert execute == f"EXECUTE {name} (%s, %s)"
    assert prepared("DELETE FROM t") != prepared("DELETE FROM u")
    assert "(" not in prepared("DELETE FROM t")[1]


def test_a_plain_insert_may_take_many_rows() -> None:
    assert many_rows("INSERT INTO t (a, b) VALUES (%s, %s)") == (
        "INSERT INTO t (a, b) VALUES ",
        "(%s, %s)",
        "",
    )
    parts = many_rows("INSERT INTO t (a) VALUES (%s) ON CONFLICT DO NOTHING")
    assert parts is not None and parts[2] == " ON CONFLICT DO NOTHING"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = %s WHERE b = %s",
        "INSERT INTO t (a) VALUES (%s) RETURNING a",
        "INSERT INTO t (a) VALUES (%s) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
        "INSERT INTO t (a, b) VALUES (%s, now())",
    ],
)
def test_what_would_not_be_the_same_stays_one_statement_a_row(sql: str) -> None:
    assert many_rows(sql) is None
