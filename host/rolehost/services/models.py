"""The plugins' peewee models that are bound to the service database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def conceal_parameters(models: Iterable[Any]) -> None:
    """Remove the statement and its parameters from the text of each ``DoesNotExist``.

    peewee adds both to the text, which goes to logs and to the table of jobs.
    """
    for model in models:
        model.DoesNotExist.__str__ = _first_line
        model.DoesNotExist.__repr__ = _as_code


def _first_line(error: Exception) -> str:
    return str(error.args[0]).partition("\n")[0] if error.args else ""


def _as_code(error: Exception) -> str:
    return f"{type(error).__name__}({_first_line(error)!r})"
