from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from rolehost.api import StorageBusy, StorageError, StorageUnavailable
from rolehost_embedded.locks import FileLock, lock_of
from rolehost_testing.conformance.clients import PATIENCE, process


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[FileLock]:
    lock = lock_of(tmp_path / "lock")
    yield lock
    lock.discard()


def hold(channel: Connection, path: Path) -> None:
    lock = lock_of(path)
    lock.acquire(PATIENCE)
    channel.send("held")
    channel.recv()
    lock.release()
    channel.send("released")
    channel.poll(PATIENCE)


def _line_up(lock: FileLock, names: str) -> Iterator[tuple[threading.Thread, list[str]]]:
    order: list[str] = []

    def wait(name: str) -> None:
        lock.acquire(PATIENCE)
        order.append(name)
        lock.release()

    for name in names:
        before = len(lock._turns)
        thread = threading.Thread(target=wait, args=(name,))
        thread.start()
        while len(lock._turns) == before:
            pass
        yield thread, order


def test_threads_get_their_turn_in_the_order_they_came(lock: FileLock) -> None:
    lock.acquire(1)
    line = list(_line_up(lock, "abcde"))
    lock.release()
    for thread, _ in line:
        thread.join()
    assert line[0][1] == list("abcde")


def test_a_file_has_one_lock_in_a_process(tmp_path: Path) -> None:
    assert lock_of(tmp_path / "lock") is lock_of(tmp_path / "." / "lock")


def test_a_thread_that_holds_it_is_told_instead_of_waiting(lock: FileLock) -> None:
    lock.acquire(1)
    with pytest.raises(StorageError, match="this thread"):
        lock.acquire(PATIENCE)
    lock.release()


def test_a_thread_that_waited_in_vain_leaves_the_line(lock: FileLock) -> None:
    lock.acquire(1)
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            lock.acquire(0.01)
        except StorageBusy as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    lock.release()
    assert str(lock.path) in str(failures[0])
    lock.acquire(1)
    lock.release()


def test_a_signal_handler_that_raises_takes_the_thread_out_of_the_line(lock: FileLock) -> None:
    taken, go_on = threading.Event(), threading.Event()

    def occupy() -> None:
        lock.acquire(1)
        taken.set()
        go_on.wait(PATIENCE)
        lock.release()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    thread = threading.Thread(target=occupy)
    thread.start()
    taken.wait(PATIENCE)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire(PATIENCE)
    finally:
        signal.signal(signal.SIGALRM, before)
    go_on.set()
    thread.join()
    lock.acquire(1)
    lock.release()


def test_another_process_is_waited_for_and_woken_by(lock: FileLock) -> None:
    with process(hold, lock.path) as other:
        assert other.receive() == "held"
        with pytest.raises(StorageBusy, match="another writer"):
            lock.acquire(0.01)
        other.send("go on")
        lock.acquire(PATIENCE)
        lock.release()


def test_a_wait_that_was_given_up_keeps_nobody_out(lock: FileLock, tmp_path: Path) -> None:
    with process(hold, lock.path) as one:
        assert one.receive() == "held"
        with pytest.raises(StorageBusy):
            lock.acquire(0.01)
        one.send("go on")
        assert one.receive() == "released"
        with process(hold, lock.path) as two:
            assert two.receive() == "held"
            two.send("go on")
            assert two.receive() == "released"


def test_a_discarded_lock_leaves_no_file_open_and_can_be_taken_again(lock: FileLock) -> None:
    with process(hold, lock.path) as other:
        assert other.receive() == "held"
        with pytest.raises(StorageBusy):
            lock.acquire(0.01)
        lock.discard()  # in vain: it stands in the kernel's queue
        other.kill()
        lock.acquire(PATIENCE)
        lock.discard()  # in vain: it is held
        lock.release()
    lock.discard()
    files = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert lock.path not in files
    lock.acquire(1)
    lock.release()


def test_a_killed_process_lets_go(lock: FileLock) -> None:
    with process(hold, lock.path) as other:
        assert other.receive() == "held"
        other.kill()
        lock.acquire(PATIENCE)
        lock.release()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    lock = lock_of(tmp_path / "nowhere" / "lock")
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="nowhere"):
            lock.acquire(1)
