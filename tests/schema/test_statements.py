from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolehost.schema.statements import split


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", ()),
        (" ;; \n ; -- only a comment\n /* and ; another */ ;", ()),
        ("a; b", ("a", "b")),
        ("a;b;", ("a", "b")),
        ("INSERT INTO t VALUES ('a;b', 'it''s;')", ("INSERT INTO t VALUES ('a;b', 'it''s;')",)),
        ('SELECT "a;b""c;" FROM `d;e`; x', ('SELECT "a;b""c;" FROM `d;e`', "x")),
        ("a -- not; here\n b; c", ("a -- not; here\n b", "c")),
        ("a /* not; here */ b; c", ("a /* not; here */ b", "c")),
        ("a 'never closed; b", ("a 'never closed; b",)),
        (
            "CREATE TABLE trigger_begin (case_end TEXT); x",
            ("CREATE TABLE trigger_begin (case_end TEXT)", "x"),
        ),
        ("ü 'ä;🐍'; ö", ("ü 'ä;🐍'", "ö")),
    ],
)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_semicolon_separates_statements_unless_it_is_quoted(
    sql: str, expected: tuple[str, ...], dialect: str
) -> None:
    assert split(sql, dialect) == expected


def test_the_body_of_a_sqlite_trigger_is_one_statement() -> None:
    trigger = (
        "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN\n"
        "  UPDATE b SET x = CASE WHEN new.y THEN 1 ELSE 2 END;\n"
        "  DELETE FROM c; -- END; is not meant\n"
        "END"
    )
    assert split(f"{trigger}; SELECT 1;", "sqlite") == (trigger, "SELECT 1")


def test_text_in_dollar_quotes_is_not_split() -> None:
    function = "CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; $$ ; $$ RETURN 1; END $body$"
    assert split(f"{function} LANGUAGE plpgsql; DO $$ a; b $$", "postgresql") == (
        f"{function} LANGUAGE plpgsql",
        "DO $$ a; b $$",
    )


def test_comments_nest_in_postgresql_only() -> None:
    sql = "a /* 1 /* 2 */ ; */ b; c"
    assert split(sql, "postgresql") == ("a /* 1 /* 2 */ ; */ b", "c")
    assert split(sql, "sqlite") == ("a /* 1 /* 2 */", "*/ b", "c")


_PIECES = st.one_of(
    st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda word: word != "trigger"),
    st.text(max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text(max_size=8).map(lambda text: '"' + text.replace('"', '""') + '"'),
    st.text(max_size=8)
    .map(lambda text: text.replace("*", "").replace("/", ""))
    .map(lambda text: f"/*{text}*/"),
)
_STATEMENTS = st.lists(_PIECES, min_size=1, max_size=5).map(lambda pieces: "x " + " ".join(pieces))


@given(st.lists(_STATEMENTS, max_size=5), st.sampled_from(["sqlite", "postgresql"]))
def test_statements_that_were_joined_come_apart_again(statements: list[str], dialect: str) -> None:
    assert split(" ;\n".join(statements), dialect) == tuple(statements)
