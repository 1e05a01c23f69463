"""Render templates to files, and write the files to a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rolehost_testing.scaffold.names import Name

#: Path with ``/`` → text.
Files = Mapping[str, str]

_END = ".tmpl"
_DOT = "dot_"


def render(folder: str, name: Name, marks: Mapping[str, str]) -> dict[str, str]:
    """Render the files of one folder of templates.

    Args:
        folder: path below ``templates``, with ``/``.
        name: replaces ``acme-name``, ``acme_name`` and ``AcmeName`` in paths and texts.
        marks: the text for each ``@mark@``.
    """
    words = {"acme-name": name.plugin, "acme_name": name.identifier, "AcmeName": name.prefix}
    words |= {f"@{mark}@": text for mark, text in marks.items()}
    found: dict[str, str] = {}
    _collect(
        files("rolehost_testing.scaffold").joinpath("templates", *folder.split("/")), "", found
    )
    return {_put(path, words): _put(text, words) for path, text in sorted(found.items())}


def _collect(folder: Traversable, path: str, into: dict[str, str]) -> None:
    for entry in folder.iterdir():
        name = entry.name.removesuffix(_END)
        if name.startswith(_DOT):
            name = f".{name.removeprefix(_DOT)}"
        if entry.is_dir():
            _collect(entry, f"{path}{name}/", into)
        else:
            into[f"{path}{name}"] = entry.read_text("utf-8")


def _put(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def write(made: Files, folder: Path) -> None:
    """Write files atomically to a folder that does not exist or is empty.

    Raises:
        FileExistsError: the folder is not empty, or there is a file with its name.
        OSError: the folder cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists; nothing was overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Write to a temporary folder first, so that a failure does not leave an incomplete folder.
    aside = Path(tempfile.mkdtemp(prefix=".rolehost-", dir=folder.parent))
    try:
        for path, text in made.items():
            file = aside / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        aside.chmod(0o755)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
