"""Column types that peewee does not have."""

from __future__ import annotations

from typing import Any

import msgspec
import peewee


class JsonText(peewee.TextField):
    """A JSON value stored as text in every SQL dialect; None is NULL."""

    def db_value(self, value: Any) -> str | None:
        """Encode for the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def python_value(self, value: str | None) -> Any:
        """Decode from the database."""
        return None if value is None else msgspec.json.decode(value)
