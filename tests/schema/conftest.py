from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rolehost.storage import Database

Write = Callable[..., str]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    embedded = pytest.importorskip("rolehost_embedded.database")
    settings = pytest.importorskip("rolehost_embedded.settings")
    database = embedded.EmbeddedDatabase(settings.EmbeddedSettings(path=tmp_path / "service.db"))
    yield database
    database.close()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A function that writes the files of a migrations package and returns the package's name."""
    folder = tmp_path / "importable"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made: set[str] = set()

    def files(package: str = "sample_migrations", /, **texts: str) -> str:
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").touch()
        for name, text in texts.items():
            stem, dot, dialect = name.partition("__")
            dotted = f"{stem}.{dialect}" if dot else stem
            (folder / package / f"{dotted.removeprefix('n')}.sql").write_text(text)
        made.add(package)
        return package

    yield files
    for package in made:
        sys.modules.pop(package, None)


def migration(up: str, down: str = "SELECT 1", head: str = "") -> str:
    return f"{head}\n-- up\n{up};\n-- down\n{down};\n"
