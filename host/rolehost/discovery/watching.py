"""Plugins' code under watch: how long it may take, and what it may not do to the process.

Only the main thread can be interrupted, by a signal: a plugin that hangs there is left by an
exception in its own frame. In another thread the code runs in a thread of its own, which is
left behind when it hangs. Neither helps against C code that never gives the interpreter back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds after which code that swallowed its interruption is interrupted again.
AGAIN = 0.5

#: How many lines of a stack are told, the innermost ones.
SITES = 3

#: Where the host's own code is.
HOST = str(Path(__file__).resolve().parents[1])

#: Signals whose handlers belong to the host.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2")
)


class Overdue(BaseException):
    """A plugin's code took longer than it may.

    No :class:`Exception`, so that it is not caught by code that hangs in a loop around one.

    Attributes:
        seconds: what it was given.
        where: the lines at which it was, the innermost last.
    """

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"not done after {seconds:g} seconds, at {where or 'an unknown line'}")
        self.seconds = seconds
        self.where = where


def bounded(call: Callable[[], T], seconds: float) -> T:
    """Call, and return what it returns.

    Raises:
        Overdue: it took longer than so many seconds.
    """
    if threading.current_thread() is threading.main_thread() and _alarm_is_free():
        return _interrupted(call, seconds)
    return _aside(call, seconds)


def bounded_here(call: Callable[[], T], seconds: float) -> T:
    """As :func:`bounded`, always in this thread: without a bound outside of the main one.

    For imports, which hold locks and may ask to be in the main thread.
    """
    if threading.current_thread() is threading.main_thread() and _alarm_is_free():
        return _interrupted(call, seconds)
    return call()


def _alarm_is_free() -> bool:
    """Say whether nobody else counts on the alarm of this process."""
    unused = (signal.SIG_DFL, signal.SIG_IGN)
    return (
        signal.getsignal(signal.SIGALRM) in unused and not signal.getitimer(signal.ITIMER_REAL)[0]
    )


def _interrupted(call: Callable[[], T], seconds: float) -> T:
    over = False

    def expire(_number: int, frame: FrameType | None) -> None:
        if not over:
            raise Overdue(seconds, sites(frame))

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        return call()
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _aside(call: Callable[[], T], seconds: float) -> T:
    done: list[T] = []
    raised: list[BaseException] = []
    over = threading.Event()
    context = copy_context()

    def run() -> None:
        try:
            done.append(context.run(call))
        except BaseException as error:
            raised.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=run, name="plugin hook", daemon=True)
    thread.start()
    if not over.wait(seconds):
        raise Overdue(seconds, sites(sys._current_frames().get(thread.ident or 0)))
    if raised:
        raise raised[0]
    thread.join()
    return done[0]


def sites(frame: FrameType | None) -> str:
    """Return the innermost lines of a stack as ``file:line -> file:line``, without the host's."""
    found: list[str] = []
    while frame is not None and len(found) < SITES:
        name = frame.f_code.co_filename
        if name == __file__:
            break
        if not name.startswith((HOST, "<frozen")):
            found.append(f"{name}:{frame.f_lineno}")
        frame = frame.f_back
    return " -> ".join(reversed(found))


@dataclass(slots=True)
class Effects:
    """What code did to the process besides what it was called for.

    Attributes:
        undone: what was set right again: working directory, signal handlers.
        left: what stays: variables of the environment, threads.
    """

    undone: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@contextmanager
def contained() -> Iterator[Effects]:
    """Note what code does to the process; what it prints goes to standard error.

    Standard output belongs to the command: it may be a JSON document.
    """
    effects = Effects()
    folder = _folder()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment = dict(_variables())
    threads = set(threading.enumerate())
    try:
        with redirect_stdout(sys.stderr):
            yield effects
    finally:
        if (now := _folder()) != folder and folder:
            os.chdir(folder)
            effects.undone.append(f"the working directory became {now}")
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler and handler is not None:
                with suppress(ValueError):  # only the main thread may, and it alone could change it
                    signal.signal(number, handler)
                effects.undone.append(f"{signal.Signals(number).name} got another handler")
        if (variables := _variables()) != environment:
            names = {os.fsdecode(name) for name, _ in variables.items() ^ environment.items()}
            effects.left += [f"the variable {name} was changed" for name in sorted(names)]
        effects.left += [
            f"the thread {thread.name} was started"
            for thread in threading.enumerate()
            if thread not in threads
        ]


def _variables() -> dict[Any, Any]:
    """Return the environment as it is kept; PERF: its mapping decodes every value again."""
    kept: dict[Any, Any] = vars(os.environ).get("_data", {})
    return kept


def _folder() -> str | None:
    """Return the working directory; None when it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return None
