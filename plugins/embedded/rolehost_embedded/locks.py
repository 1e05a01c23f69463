"""A lock on a file, fair among the threads and processes of one machine, with a bounded wait.

If the database is busy, SQLite lets a writer sleep and try again. Under load some writers would
wait for seconds. With this lock, writers queue before they begin: the threads of a process in the
order of their calls, and one thread of each process in the kernel (``flock``). The kernel wakes the
next thread at once, and releases the lock if its holder dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections import deque
from pathlib import Path

from rolehost.api import NotPrivate, StorageBusy, StorageError, StorageUnavailable, private_file

from rolehost_embedded.location import path_refused


class FileLock:
    """The lock of one file in this process; get it from :func:`lock_of`. Not re-entrant.

    The lock file is never removed: processes that have the removed file open would not exclude
    processes that open the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reset()

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._turns: deque[threading.Lock] = deque()
        self._taken = False
        self._thread: int | None = None
        self._holder: weakref.ref[object] | None = None
        self._descriptor: int | None = None
        self._waiter: _Waiter | None = None

    def acquire(self, timeout: float, holder: object = None) -> None:
        """Take the lock, waiting up to ``timeout`` seconds.

        After an exception the lock is not held, even if a signal handler or another thread
        raised it in this thread.

        Args:
            timeout: seconds.
            holder: the argument of :meth:`held_by`; a weak reference is kept.

        Raises:
            StorageBusy: the lock did not become free in time.
            StorageError: this thread holds the lock already.
            StorageRefused: the lock file belongs to another user.
            StorageUnavailable: the lock file cannot be opened.
        """
        if self._thread == threading.get_ident():
            raise StorageError(f"{self.path}: this thread holds the lock already")
        deadline = time.monotonic() + timeout
        with self._mutex:
            turn = self._queue_up() if self._taken else None
            self._taken = True
        if turn is not None:
            self._wait_for_turn(turn, timeout)
        try:
            self._holder = None if holder is None else weakref.ref(holder)
            self._thread = threading.get_ident()
            if not self._try_lock():
                self._wait_for_file(max(deadline - time.monotonic(), 0.0))
        except BaseException:
            self.release()
            raise

    def held_by(self, holder: object) -> bool:
        """Return whether this thread holds the lock and took it for this holder."""
        known = None if self._holder is None else self._holder()
        return self._thread == threading.get_ident() and known is holder

    def holder_in(self, thread: int) -> object:
        """Return the holder for which this thread has taken the lock, or None."""
        known = None if self._holder is None else self._holder()
        return known if self._thread == thread else None

    def release_abandoned(self) -> None:
        """Release the lock if its holder no longer exists."""
        if self._holder is not None and self._holder() is None:
            self.release()

    def release(self) -> None:
        """Release the lock to the next thread; the thread that holds it calls this.

        Another one may, if that thread is stuck and its connection was closed.
        """
        self._thread = self._holder = None
        try:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._release_next()

    def discard(self) -> None:
        """Close the lock file if nothing in this process needs it; a later use opens it again."""
        with self._mutex:
            if self._taken or (self._waiter is not None and not self._waiter.stop()):
                return
            self._waiter = None
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _queue_up(self) -> threading.Lock:
        turn = threading.Lock()
        turn.acquire()
        self._turns.append(turn)
        return turn

    def _wait_for_turn(self, turn: threading.Lock, timeout: float) -> None:
        try:
            if not turn.acquire(timeout=timeout) and self._leave_queue(turn):
                raise StorageBusy(self._timeout_message(timeout))
        except StorageBusy:
            raise
        except BaseException:  # the queue moves on without this thread
            if not self._leave_queue(turn):
                self._release_next()
            raise

    def _leave_queue(self, turn: threading.Lock) -> bool:
        """Leave the queue; False if this thread is the next one already."""
        with self._mutex:
            if turn in self._turns:
                self._turns.remove(turn)
                return True
            return False

    def _release_next(self) -> None:
        with self._mutex:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._taken = False

    def _try_lock(self) -> bool:
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._waiter is not None and self._waiter.pending():
            return False  # an earlier wait was given up, but is still in the kernel's queue
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_for_file(self, timeout: float) -> None:
        if self._waiter is None:
            assert self._descriptor is not None
            self._waiter = _Waiter(self._descriptor)
        if not self._waiter.wait(timeout):
            raise StorageBusy(self._timeout_message(timeout))

    def _open(self) -> int:
        try:
            return private_file(self.path)
        except NotPrivate as error:
            raise path_refused(error) from error
        except OSError as error:
            raise StorageUnavailable(
                f"{self.path}: cannot open the lock file: {error.strerror}"
            ) from error

    def _timeout_message(self, timeout: float) -> str:
        return f"{self.path}: another writer held the lock for {timeout:g} s"

    def forget_after_fork(self) -> None:
        """In a forked child, drop everything without releasing the lock of the parent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._reset()


class _Waiter:
    """A thread that waits in ``flock``, which has no time-out.

    A wait that is given up stays in the kernel's queue. The next waiter of this process takes it
    over. If there is none, the lock is released as soon as it is taken.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mutex = threading.Lock()
        self._pending = False
        self._wanted = False
        self._stopped = False
        self._requested = threading.Semaphore(0)
        self._granted = threading.Semaphore(0)
        threading.Thread(target=self._run, name="rolehost-file-lock", daemon=True).start()

    def pending(self) -> bool:
        """Whether a wait of this process is in the kernel's queue, given up or not."""
        with self._mutex:
            return self._pending

    def stop(self) -> bool:
        """End the thread; False if it is in the kernel's queue and cannot end."""
        with self._mutex:
            if self._pending:
                return False
            self._stopped = True
        self._requested.release()
        return True

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; return whether the lock was taken."""
        with self._mutex:
            self._wanted = True
            if not self._pending:
                self._pending = True
                self._requested.release()
        try:
            if self._granted.acquire(timeout=timeout):
                return True
        except BaseException:
            self._give_up()
            raise
        return self._give_up()

    def _give_up(self) -> bool:
        """Stop waiting; True if the lock was taken at the last moment."""
        with self._mutex:
            self._wanted = False
            return self._granted.acquire(blocking=False)

    def _run(self) -> None:
        while True:
            self._requested.acquire()
            if self._stopped:
                return
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            with self._mutex:
                self._pending = False
                if self._wanted:
                    self._wanted = False
                    self._granted.release()
                else:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)


_locks: weakref.WeakValueDictionary[Path, FileLock] = weakref.WeakValueDictionary()
_registry = threading.Lock()


def lock_of(path: Path) -> FileLock:
    """Return the lock of a file, one in each process, which all users of the file share."""
    # Only the folder is resolved: a symbolic link in place of the lock file is refused.
    resolved = Path(os.path.realpath(path.parent)) / path.name
    with _registry:
        lock = _locks.get(resolved)
        if lock is None:
            lock = _locks[resolved] = FileLock(resolved)
        return lock


def _after_fork() -> None:
    global _registry
    _registry = threading.Lock()
    for lock in list(_locks.values()):
        with contextlib.suppress(OSError):
            lock.forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
