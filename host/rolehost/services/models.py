"""The plugins' peewee models, once they are bound to the service database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def conceal_parameters(models: Iterable[Any]) -> None:
    """Let the ``DoesNotExist`` of each model show no statement and no parameters.

    peewee puts both into its text, which would reach logs and the table of jobs.
    """
    for model in models:
        model.DoesNotExist.__str__ = _first_line
        model.DoesNotExist.__repr__ = _as_code


def _first_line(error: Exception) -> str:
    return str(error.args[0]).partition("\n")[0] if error.args else ""


def _as_code(error: Exception) -> str:
    return f"{type(error).__name__}({_first_line(error)!r})"
