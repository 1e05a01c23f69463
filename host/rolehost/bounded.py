"""A time limit for code of plugins.

In the main thread, SIGALRM raises an exception in the code that hangs. In another thread, or if
SIGALRM is in use, the code runs in a new thread, which is abandoned if the code hangs. Neither way
stops C code that never releases the GIL.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

#: Seconds until the next exception, if the code caught the last one.
REPEAT_SECONDS = 0.5

#: Number of innermost frames in a message.
SHOWN_FRAMES = 3

#: The folder of the host's own code.
HOST_FOLDER = str(Path(__file__).resolve().parent)


class TimeLimitExceeded(BaseException):
    """Code of a plugin exceeded its time limit; ``where`` is its stack, the innermost line last.

    Not an :class:`Exception`, so that ``except Exception`` in a loop that hangs does not catch it.
    """

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"not done after {seconds:g} seconds, at {where or 'an unknown line'}")
        self.seconds = seconds
        self.where = where


def bounded(call: Callable[[], T], seconds: float, *, same_thread: bool = False) -> T:
    """Return the result of a function; raise :class:`TimeLimitExceeded` after ``seconds``.

    ``same_thread``: never use a new thread; there is then no limit outside of the main thread, or
    if SIGALRM is in use. For imports, which hold locks and may require the main thread.
    """
    if threading.current_thread() is threading.main_thread() and _alarm_is_free():
        return _interrupted(call, seconds)
    return call() if same_thread else _in_new_thread(call, seconds)


def _alarm_is_free() -> bool:
    unused = (signal.SIG_DFL, signal.SIG_IGN)
    return (
        signal.getsignal(signal.SIGALRM) in unused and not signal.getitimer(signal.ITIMER_REAL)[0]
    )


def _interrupted(call: Callable[[], T], seconds: float) -> T:
    done = False

    def expire(_number: int, frame: FrameType | None) -> None:
        if not done:
            raise TimeLimitExceeded(seconds, _lines(frame))

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        return call()
    finally:
        done = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_new_thread(call: Callable[[], T], seconds: float) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(call))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="plugin hook", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeLimitExceeded(seconds, _lines(sys._current_frames().get(thread.ident or 0)))
    return results[0]


def _lines(frame: FrameType | None) -> str:
    """Return the innermost lines of a stack outside of the host: ``file:line -> file:line``."""
    found: list[str] = []
    while frame is not None and len(found) < SHOWN_FRAMES:
        name = frame.f_code.co_filename
        if name == __file__:
            break
        if not name.startswith((HOST_FOLDER, "<frozen")):
            found.append(f"{name}:{frame.f_lineno}")
        frame = frame.f_back
    return " -> ".join(reversed(found))
