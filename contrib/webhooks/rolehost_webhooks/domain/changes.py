"""Saving changed rows."""

from __future__ import annotations

from typing import Any

import msgspec
import peewee
from msgspec import UNSET
from rolehost.api import Services

from rolehost_webhooks.errors import Conflict


def sent_fields(body: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that a body contains, by name."""
    return {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }


def save(services: Services, row: Any, values: dict[str, Any]) -> None:
    """Set values in a row and save it; call this inside a unit of work.

    Raises:
        Conflict: the uid is taken.
    """
    values = {**values, "updated_at": services.clock.now()}
    for name, value in values.items():
        setattr(row, name, value)
    try:
        type(row).update(values).where(row._pk_expr()).execute()
    except peewee.IntegrityError as error:
        raise Conflict(f"uid {row.uid!r} is in use") from error
