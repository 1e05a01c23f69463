"""Writes an empty migration file with the next number."""

from __future__ import annotations

import importlib
import re
from importlib import resources
from pathlib import Path
from typing import Literal

from rolehost.errors import StartError

_HEAD = "-- phase: {phase}\n-- Say why this is needed.\n\n-- up\n\n\n-- down\n\n"


def new(
    package: str,
    name: str,
    *,
    dialects: tuple[str, ...] = (),
    phase: Literal["pre", "post"] = "pre",
) -> tuple[Path, ...]:
    """Write the next migration of a package, without statements yet; return the files.

    Args:
        package: import name of the package with the migration files.
        name: what it will do; turned into lower case words joined by ``_``.
        dialects: one file for each; empty writes one for all dialects.
        phase: when it is to run.

    Raises:
        StartError: the package is not a folder that can be written to, or the name is empty.
    """
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not words:
        raise StartError(f"{name!r} has no letter or digit: say what the migration does")
    try:
        folder = resources.files(importlib.import_module(package))
    except ImportError as error:
        raise StartError(f"the package {package} cannot be imported: {error}") from error
    if not isinstance(folder, Path):
        raise StartError(f"the package {package} is not a folder: install it editable")
    numbers = [int(file.name[:4]) for file in folder.glob("[0-9][0-9][0-9][0-9]_*.sql")]
    stem = f"{max(numbers, default=0) + 1:04d}_{words}"
    files = [folder / f"{stem}.{dialect}.sql" for dialect in dialects]
    try:
        for file in files or [folder / f"{stem}.sql"]:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(_HEAD.format(phase=phase))
    except OSError as error:
        raise StartError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return tuple(files or [folder / f"{stem}.sql"])
