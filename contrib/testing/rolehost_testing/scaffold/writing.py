"""Files from templates, and a folder from files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rolehost_testing.scaffold.names import Name

#: Text by path, with ``/``.
Files = Mapping[str, str]

_END = ".tmpl"
_DOT = "dot_"


def render(folder: str, name: Name, marks: Mapping[str, str]) -> dict[str, str]:
    """Return the files of one folder of templates.

    Args:
        folder: below ``templates``, with ``/``.
        name: what stands for the three spellings.
        marks: text for each ``@mark@``.
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
    """Write files into a folder that is not there yet, or is empty; all of them or none.

    Raises:
        FileExistsError: the folder, or a file of its name, is there and holds something.
        OSError: it cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already, and nothing is overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In a folder beside it, so that nobody sees half of it and a failure leaves nothing.
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
