"""Statements that run for every message: peewee builds their SQL text once.

PERF: building the text costs ten times as much as executing it, and only one thread of a process
can do it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import peewee


class _Given(NamedTuple):
    name: str


def given(name: str) -> Any:
    """Return an expression for a value that is given when the statement is executed.

    The value is not converted: it must have the type of the database's column.
    """
    return peewee.Value(_Given(name), converter=False, unpack=False)


class Compiled:
    """A statement on the tables of the database of ``model``.

    Args:
        model: the model that is bound to the database.
        build: returns the query of peewee; :func:`given` marks its parameters.
    """

    def __init__(self, model: type[peewee.Model], build: Callable[[], Any]) -> None:
        self._model = model
        self._build = build
        self._built: dict[type[peewee.Database], tuple[str, list[Any], list[Any]]] = {}

    def execute(self, **values: Any) -> Any:
        """Execute with these values; return the cursor."""
        database = self._model._meta.database
        text, params, _ = self._text(database)
        return database.execute_sql(
            text, [values[each.name] if type(each) is _Given else each for each in params]
        )

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Execute a SELECT; return its rows, with values converted by the models' fields."""
        found = self.execute(**values).fetchall()
        converters = self._text(self._model._meta.database)[2]
        return [
            tuple(convert(value) for convert, value in zip(converters, row, strict=True))
            for row in found
        ]

    def _text(self, database: peewee.Database) -> tuple[str, list[Any], list[Any]]:
        built = self._built.get(type(database))
        if built is None:
            query = self._build()
            text, params = database.get_sql_context().sql(query).query()
            columns = query.selected_columns if isinstance(query, peewee.Select) else ()
            converters = [column.python_value for column in columns]
            built = self._built[type(database)] = text, params, converters
        return built
