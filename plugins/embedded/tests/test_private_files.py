"""The database, what SQLite puts beside it, and the locks belong to one user."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rolehost.api import StorageError, StorageRefused
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.queue import EmbeddedQueue
from rolehost_embedded.settings import EmbeddedSettings


@pytest.fixture(params=(0o000, 0o022, 0o077, 0o277), ids=oct)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def database(settings: EmbeddedSettings) -> Iterator[EmbeddedDatabase]:
    made = EmbeddedDatabase(replace(settings, path=settings.path.parent / "var" / "service.db"))
    yield made
    made.close()


def write(database: EmbeddedDatabase) -> None:
    with database.migration_lock(), database.transaction() as transaction:
        transaction.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER)")


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.lstat().st_mode) for each in folder.iterdir()}


def test_no_umask_opens_the_files_to_others(
    umask: None, database: EmbeddedDatabase, settings: EmbeddedSettings
) -> None:
    queue = EmbeddedQueue(replace(settings, path=database.path))
    with database.session():
        write(database)
        queue.ping()
        found = modes(database.path.parent)
    queue.close()
    names = {"-lock", "-migrate-lock", "-wal", "-shm", ""}
    assert {f"service.db{each}" for each in names} <= found.keys()
    assert set(found.values()) == {0o600}
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


def test_an_open_database_of_an_earlier_run_is_closed_and_logged(
    database: EmbeddedDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    with database.session():
        write(database)
        for each in database.path.parent.iterdir():
            each.chmod(0o644)
        database.peewee.lock.discard()  # a later process opens it anew
        later = EmbeddedDatabase(EmbeddedSettings(path=database.path))
        write(later)
        found = modes(database.path.parent)
        later.close()
    assert {found[f"service.db{each}"] for each in ("", "-wal", "-shm", "-lock")} == {0o600}
    assert f"{database.path} was open to other users (mode 0644)" in caplog.text


def test_a_wrong_path_changes_the_mode_of_no_file(settings: EmbeddedSettings) -> None:
    settings.path.write_text("root:x:0:0:root:/root:/bin/bash\n" * 100)
    settings.path.chmod(0o644)
    database = EmbeddedDatabase(settings)
    with pytest.raises(StorageError, match="not a SQLite database"):
        database.ping()
    assert stat.S_IMODE(settings.path.stat().st_mode) == 0o644
    database.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", "-lock", "-migrate-lock"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to("elsewhere"), "a symbolic link"),
        (lambda path: os.mkfifo(path), "a named pipe"),
    ],
)
def test_nothing_else_is_taken_for_one_of_the_files(
    settings: EmbeddedSettings, suffix: str, make: Callable[[Path], None], what: str
) -> None:
    database = EmbeddedDatabase(settings)
    path = settings.path.with_name(settings.path.name + suffix)
    make(path)
    with pytest.raises(StorageRefused, match=f"{path}: expected a file, found {what}"):
        write(database)
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", "-lock", "-migrate-lock"])
def test_a_file_of_another_user_is_named(settings: EmbeddedSettings, suffix: str) -> None:
    path = settings.path.with_name(settings.path.name + suffix)
    path.touch()
    os.chown(path, 65_534, 65_534)
    database = EmbeddedDatabase(settings)
    with pytest.raises(
        StorageRefused, match=rf"{path}: a regular file belongs to the user .*\(65534\)"
    ):
        write(database)
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a link to another user")
def test_a_link_of_another_user_is_not_followed(settings: EmbeddedSettings) -> None:
    settings.path.symlink_to(settings.path.with_name("mine.db"))
    EmbeddedDatabase(settings).ping()  # one's own link is
    os.chown(settings.path, 65_534, 65_534, follow_symlinks=False)
    with pytest.raises(StorageRefused, match=r"service\.db: a symbolic link of another user"):
        EmbeddedDatabase(settings)


def test_a_folder_in_which_all_users_replace_files_is_refused(settings: EmbeddedSettings) -> None:
    settings.path.parent.chmod(0o777)
    database = EmbeddedDatabase(settings)
    with pytest.raises(StorageRefused, match=r"mode 0777\); chmod o-w"):
        database.ping()


def test_a_name_with_signs_of_a_uri_is_a_name(settings: EmbeddedSettings) -> None:
    path = settings.path.with_name("a?mode=memory#%41 é.db")
    database = EmbeddedDatabase(replace(settings, path=path))
    write(database)
    assert path.stat().st_size > 0
    database.close()
