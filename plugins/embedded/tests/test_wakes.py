from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rolehost.api import StorageUnavailable
from rolehost_embedded.sockets import links_folder
from rolehost_embedded.wakes import Wakes
from rolehost_testing.conformance.clients import PATIENCE


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: a socket's path holds 108 bytes.
    with tempfile.TemporaryDirectory(prefix="wakes") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
def wakes(base: Path) -> Iterator[Wakes]:
    wakes = Wakes(Path("/data/service.db"))
    yield wakes
    wakes.close()


def _folder(base: Path) -> Path:
    (folder,) = base.iterdir()
    return folder


def test_sockets_are_in_a_folder_that_only_the_user_may_use(base: Path, wakes: Wakes) -> None:
    wakes.listen({"a"})
    assert _folder(base).stat().st_mode & 0o777 == 0o700


def test_no_umask_lets_others_send(base: Path, wakes: Wakes) -> None:
    before = os.umask(0o000)
    try:
        wakes.listen({"a"})
    finally:
        os.umask(before)
    modes = {path.lstat().st_mode & 0o777 for path in _folder(base).glob("*.s")}
    assert modes == {0o600}
    assert {each.stat().st_mode & 0o777 for each in _folder(base).iterdir() if each.is_dir()} == {
        0o700
    }


def test_a_folder_that_others_may_use_is_refused(base: Path, wakes: Wakes) -> None:
    wakes.listen({"a"})
    _folder(base).chmod(0o755)
    with pytest.raises(StorageUnavailable, match="other users can use this folder"):
        Wakes(Path("/data/service.db")).listen({"a"})


def test_a_link_in_place_of_the_folder_is_refused(base: Path, wakes: Wakes) -> None:
    wakes.listen({"a"})
    folder = _folder(base)
    folder.rename(base / "moved")
    folder.symlink_to(base / "moved")
    with pytest.raises(StorageUnavailable, match="expected a folder, found a symbolic link"):
        Wakes(Path("/data/service.db")).listen({"a"})


def test_another_database_is_another_folder(base: Path, wakes: Wakes) -> None:
    other = Wakes(Path("/data/other.db"))
    listener = other.listen({"a"})
    wakes.listen({"a"})
    wakes.wake(["a"])
    assert listener.wait(0) == frozenset()
    other.close()


def test_a_directory_too_long_for_sockets_is_passed_over(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / ("long" * 30)))
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    wakes = Wakes(Path("/data/service.db"))
    listener = wakes.listen({"a"})
    wakes.wake(["a"])
    assert listener.wait(PATIENCE) == {"a"}
    assert _folder(base).is_dir()
    wakes.close()


@pytest.mark.parametrize("tidied", [False, True])
def test_a_folder_that_was_taken_away_is_made_again(base: Path, wakes: Wakes, tidied: bool) -> None:
    first = wakes.listen({"a"})
    wakes.wake(["a"])
    if tidied:
        shutil.rmtree(_folder(base))
    first.close()
    wakes.wake(["a"])
    listener = wakes.listen({"a"})
    wakes.wake(["a"])
    assert listener.wait(PATIENCE) == {"a"}


def test_the_last_listener_leaves_nothing(base: Path, wakes: Wakes) -> None:
    first, last = wakes.listen({"a", "b"}), wakes.listen({"a"})
    first.close()
    assert [path.name for path in links_folder(_folder(base), "a").iterdir()] == [
        Path(last._path).name
    ]
    assert not links_folder(_folder(base), "b").exists()
    last.close()
    assert list(base.iterdir()) == []


def test_who_only_wakes_leaves_nothing(base: Path, wakes: Wakes) -> None:
    wakes.wake(["a"])
    wakes.close()
    assert list(base.iterdir()) == []


def test_listeners_that_come_while_others_go_are_woken(base: Path, wakes: Wakes) -> None:
    def come_and_go(_: int) -> set[frozenset[str]]:
        mine = Wakes(Path("/data/service.db"))
        heard = set()
        for _ in range(200):
            listener = mine.listen({"a"})
            mine.wake(["a"])
            heard.add(listener.wait(PATIENCE))
            listener.close()
        mine.close()
        return heard

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(come_and_go, range(4))) == {frozenset("a")}
    assert list(base.iterdir()) == []


def test_what_a_dead_process_left_is_removed_by_the_next_wake_up(base: Path, wakes: Wakes) -> None:
    listener = wakes.listen({"a"})
    listener._socket.close()  # as the kernel does for a killed process
    names = links_folder(_folder(base), "a")
    assert len(list(names.iterdir())) == 1
    wakes.wake(["a"])
    assert list(_folder(base).iterdir()) == [names]
    assert list(names.iterdir()) == []


def test_listeners_that_do_not_read_keep_no_wake_up_from_the_others(wakes: Wakes) -> None:
    asleep = [wakes.listen({"a"}) for _ in range(60)]
    for _ in range(30):
        wakes.wake(["a"])
    awake = wakes.listen({"b"})
    wakes.wake(["b"])
    assert awake.wait(PATIENCE) == {"b"}
    assert all(listener.wait(0) == {"a"} for listener in asleep)


def test_a_listing_is_remembered_only_when_no_change_can_hide(
    base: Path, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakes.listen({"a"})
    folder = links_folder(_folder(base), "a")
    os.utime(folder, (1, 1))
    wakes.wake(["a"])
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("listed again"))
    wakes.wake(["a"])
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    late = wakes.listen({"a"})
    wakes.wake(["a"])
    assert late.wait(PATIENCE) == {"a"}
