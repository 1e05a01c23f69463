from __future__ import annotations

import pytest
from rolehost.schema import SchemaError, load

from tests.schema.conftest import Write, migration


def _codes(package: str, dialect: str = "sqlite") -> list[str]:
    with pytest.raises(SchemaError) as caught:
        load([("sample", package)], dialect)
    for problem in caught.value.problems:
        assert problem.who == "sample"
        assert all(problem.as_dict().values())
    return [problem.code for problem in caught.value.problems]


def test_files_are_read_in_the_order_of_their_numbers(write: Write) -> None:
    package = write(
        n0002_second=migration("SELECT 2", head="-- phase: post"),
        n0001_first=migration("CREATE TABLE a (b); CREATE TABLE c (d)", "DROP TABLE c"),
    )
    first, second = load([("sample", package)], "sqlite")
    assert (first.label, first.phase) == ("sample/0001_first", "pre")
    assert first.up == ("CREATE TABLE a (b)", "CREATE TABLE c (d)")
    assert first.down == ("DROP TABLE c",)
    assert (second.label, second.phase) == ("sample/0002_second", "post")
    assert second.location == f"{package}: 0002_second.sql"


def test_a_file_can_run_outside_of_a_transaction(write: Write) -> None:
    package = write(
        n0001_usual=migration("SELECT 1"),
        n0002_alone=migration("SELECT 2", head="-- phase: post\n-- transaction: none"),
    )
    usual, alone = load([("sample", package)], "sqlite")
    assert (usual.alone, alone.alone, alone.phase) == (False, True, "post")


def test_sets_keep_their_order(write: Write) -> None:
    one = write("sample_b", n0001_x=migration("SELECT 1"))
    two = write("sample_a", n0001_x=migration("SELECT 1"))
    assert [m.owner for m in load([("b", one), ("a", two)], "sqlite")] == ["b", "a"]


def test_each_dialect_reads_its_own_file(write: Write) -> None:
    package = write(
        n0001_x__sqlite=migration("SELECT 'sqlite'"),
        n0001_x__postgresql=migration("SELECT 'postgresql'"),
        n0002_y=migration("SELECT 'both'"),
    )
    for dialect in ("sqlite", "postgresql"):
        first, second = load([("sample", package)], dialect)
        assert first.up == (f"SELECT '{dialect}'",)
        assert second.up == ("SELECT 'both'",)


def test_line_ends_do_not_change_the_checksum(write: Write) -> None:
    unix = load([("s", write("sample_unix", n0001_x=migration("SELECT 1")))], "sqlite")
    text = migration("SELECT 1").replace("\n", "\r\n")
    windows = load([("s", write("sample_windows", n0001_x=text))], "sqlite")
    assert unix[0].checksum == windows[0].checksum


def test_a_missing_package_is_named() -> None:
    assert _codes("no_such_package_anywhere") == ["migrations-missing"]


def test_a_gap_in_the_numbers_is_refused(write: Write) -> None:
    package = write(n0001_x=migration("SELECT 1"), n0003_z=migration("SELECT 1"))
    assert _codes(package) == ["migration-gap"]


def test_a_gap_for_one_dialect_is_refused_for_it(write: Write) -> None:
    package = write(n0001_x__sqlite=migration("SELECT 1"), n0002_y=migration("SELECT 1"))
    assert _codes(package, "postgresql") == ["migration-gap"]
    assert len(load([("sample", package)], "sqlite")) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("n0001_x", "n0001_y"),
        ("n0001_x", "n0001_x__sqlite"),
        ("n0001_x__sqlite", "n0001_y__postgresql"),
    ],
)
def test_two_files_of_one_number_are_refused(write: Write, names: tuple[str, ...]) -> None:
    package = write(**{name: migration("SELECT 1") for name in names})
    assert _codes(package) == ["migration-duplicate"]


@pytest.mark.parametrize(
    "name", ["n1_x", "n0000_x", "n0001", "n0001-x", "n0001_X", "n0001_x__mysql"]
)
def test_other_names_are_refused(write: Write, name: str) -> None:
    assert _codes(write(**{name: migration("SELECT 1")})) == ["migration-name"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- up\nSELECT 1;",
        "-- down\nSELECT 1;\n-- up\nSELECT 1;",
        "-- up\nSELECT 1;\n-- down\nSELECT 1;\n-- up\nSELECT 1;",
        "-- up\n-- down\nSELECT 1;",
        "-- up\nSELECT 1;\n-- down\n",
        "-- up\nSELECT 1;\n-- down\n-- nothing\n",
        "SELECT 0;\n-- up\nSELECT 1;\n-- down\nSELECT 1;",
        "-- phase: later\n-- up\nSELECT 1;\n-- down\nSELECT 1;",
        "-- up\n-- phase: post\nSELECT 1;\n-- down\nSELECT 1;",
        "-- phase: pre\n-- phase: post\n-- up\nSELECT 1;\n-- down\nSELECT 1;",
        "-- transaction: two\n-- up\nSELECT 1;\n-- down\nSELECT 1;",
        "-- up\nSELECT 1;\n-- transaction: none\n-- down\nSELECT 1;",
    ],
)
def test_files_without_clear_parts_are_refused(write: Write, text: str) -> None:
    assert _codes(write(n0001_x=text)) == ["migration-content"]


def test_all_problems_come_together(write: Write) -> None:
    package = write(n0001_x="", n0003_y=migration("SELECT 1"), n4_z=migration("SELECT 1"))
    assert sorted(_codes(package)) == ["migration-content", "migration-gap", "migration-name"]
