"""Prevents a process that plugin code forks from acting as a second copy of this process.

A fork (``os.fork``, ``multiprocessing``, ``subprocess`` with a ``preexec_fn``) copies signal
handlers, exit handlers and the stack of the forking thread. In the child, signals get their default
action again and exit handlers are removed. If the child returns to the host's code, it exits.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_forks = 0  # number of forks between the host's process and this one
_resets = False
_local = threading.local()


def reset_in_children() -> None:
    """From now on, reset signals and exit handlers in forked children.

    Call it when the process has its signal handlers and the host forks no more processes.
    """
    global _resets
    _resets = True


def call_exiting_forks(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a plugin's function. If it forks and the child returns from it, the child exits.

    The child exits with 0 if the function returned, with the status of ``sys.exit``, or with 1
    after any other exception, with its traceback on standard error.
    """
    before = _forks
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        if _forks != before:
            _exit(error)
        raise
    if _forks != before:
        _exit(None)
    return result


def _exit(error: BaseException | None) -> NoReturn:
    status = 0
    if isinstance(error, SystemExit):
        code: Any = error.code
        status = code if isinstance(code, int) else int(code is not None)
        if status == 1 and not isinstance(code, int):
            print(code, file=sys.stderr)
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status & 0xFF)


def _before_fork() -> None:
    # The child gets a copy of the buffers, and would write their content a second time.
    for stream in (sys.stdout, sys.stderr):
        with suppress(
            AttributeError, OSError, ValueError
        ):  # the stream may be missing, broken or closed
            stream.flush()
    if _resets:
        # Otherwise a signal that reaches the child before the reset of its handlers is lost.
        _local.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handled())


def _in_parent() -> None:
    if hasattr(_local, "mask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, _local.mask)


def _in_child() -> None:
    global _forks, _resets
    _forks += 1
    if not _resets:
        return
    _resets = False
    # Otherwise Python writes each signal's number to a pipe of the parent's event loop.
    signal.set_wakeup_fd(-1)
    for number in _handled():
        default = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)
    atexit._clear()
    signal.pthread_sigmask(signal.SIG_SETMASK, _local.mask)


def _handled() -> list[int]:
    return [number for number in signal.valid_signals() if callable(signal.getsignal(number))]


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
