"""A schema that differs from the migrations of the code."""

from __future__ import annotations

import dataclasses

import pytest
from rolehost.schema import Drift, Schema, compare, history
from rolehost.schema.files import Migration

TABLE = Migration(
    owner="shop",
    number=1,
    name="table",
    phase="pre",
    alone=False,
    location="shop",
    up=("SELECT 1",),
    down=("SELECT 1",),
    checksum="a",
)


def applied(number: int, name: str, phase: str = "pre", checksum: str = "a", owner: str = "shop"):
    return {(owner, number): history.Applied(owner, number, name, phase, checksum, 0)}


@pytest.mark.parametrize(
    ("rows", "fault", "notice"),
    [
        (applied(1, "table"), "", ""),
        ({}, "not applied: shop/0001_table", ""),
        (applied(1, "table", checksum="b"), "changed since they were applied: shop/0001", ""),
        (applied(1, "table") | applied(2, "more"), "", "newer than this code: shop/0002_more"),
        (
            applied(1, "table") | applied(2, "less", "post"),
            "unknown to this code, which is older",
            "",
        ),
        # Others of the fleet share the database.
        (applied(1, "table") | applied(7, "theirs", "post", owner="other"), "", ""),
    ],
)
def test_differences_are_named(rows, fault: str, notice: str) -> None:
    drift = compare([TABLE], rows)
    assert fault in drift.error
    assert bool(fault) is bool(drift.error)
    assert notice in drift.warning
    assert bool(notice) is bool(drift.warning)


def test_a_migration_of_the_phase_post_may_be_pending() -> None:

    assert compare([dataclasses.replace(TABLE, phase="post")], {}) == Drift()


@pytest.mark.needs("rolehost_embedded")
def test_the_table_is_read_again_after_a_while(tmp_path) -> None:
    from rolehost import schema
    from rolehost.composition import compose
    from rolehost.deployment import load

    file = tmp_path / "rolehost.toml"
    file.write_text('plugins = ["embedded"]')
    composition = compose(load(file, environ={}))
    database = composition.backends["database"].value.factory()
    now = [0.0]
    looked = Schema(lambda: database, [schema.HOST_SET], clock=lambda: now[0])
    try:
        assert "rolehost/0001_delivery" in looked.drift().error
        schema.up(database, [schema.HOST_SET])
        assert looked.drift().error
        now[0] = 60.0
        assert not looked.drift().error
        # All but the first, however many there are by now.
        schema.down(database, schema.HOST_SET, steps=len(history.read(database)) - 1)
        now[0] = 120.0
        assert "rolehost/0002_presence" in looked.drift().error
    finally:
        database.close()
