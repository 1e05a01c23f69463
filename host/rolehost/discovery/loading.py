"""Imports one plugin; finds the lines of an error and the side effects on the process."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rolehost.bounded import TimeLimitExceeded
from rolehost.errors import ConfigurationError, Problem
from rolehost.messages import problem

#: Signals that the host handles.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2")
)


def load(target: str, *, who: str, name: str) -> Any:
    """Import the target of an entry point: ``module`` or ``module:attribute``.

    Raises:
        ConfigurationError: the import raised an exception other than KeyboardInterrupt, or the
            attribute is missing.
        TimeLimitExceeded: the import was interrupted, see :func:`~rolehost.bounded.bounded`.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name.strip())
    except (KeyboardInterrupt, TimeLimitExceeded):
        raise
    except BaseException as error:
        raise ConfigurationError([_import_problem(error, target, who, name)]) from error
    if not attribute:
        return module
    try:
        return functools.reduce(getattr, attribute.strip().split("."), module)
    except AttributeError as error:
        missing = problem(
            "plugin-target",
            who=who,
            where=f"entry point {name} = {target}",
            module=module_name,
            attribute=attribute,
            error=error,
        )
        raise ConfigurationError([missing]) from error


def _import_problem(error: BaseException, target: str, who: str, name: str) -> Problem:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return problem(
        "plugin-import.missing" if missing else "plugin-import",
        who=who,
        where=_importing_lines(error) or f"entry point {name} = {target}",
        module=target.partition(":")[0],
        type=type(error).__name__,
        error=traceback.format_exception_only(error)[-1].strip(),
        missing=missing,
        name=name,
    )


def _importing_lines(error: BaseException) -> str:
    """Return the import chain as lines; the last line raised the error."""
    lines = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and frame.filename not in (__file__, importlib.__file__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{error.filename}:{error.lineno}")
    return " -> ".join(lines)


@dataclass(slots=True)
class Effects:
    """The side effects of an import.

    ``reverted``: working directory, signal handlers. ``remaining``: environment variables, threads.
    """

    reverted: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)


@contextmanager
def record_effects() -> Iterator[Effects]:
    """Record side effects; redirect standard output, because it may be a JSON document."""
    effects = Effects()
    folder = _working_directory()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment = dict(_variables())
    threads = set(threading.enumerate())
    try:
        with redirect_stdout(sys.stderr):
            yield effects
    finally:
        if folder and (now := _working_directory()) != folder:
            os.chdir(folder)
            effects.reverted.append(f"the working directory became {now}")
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(ValueError):  # only the main thread can change handlers
                    signal.signal(number, handler)
                effects.reverted.append(f"{signal.Signals(number).name} got another handler")
        changed = {os.fsdecode(name) for name, _ in _variables().items() ^ environment.items()}
        effects.remaining += [f"the variable {name} was changed" for name in sorted(changed)]
        started = [thread for thread in threading.enumerate() if thread not in threads]
        effects.remaining += [f"the thread {thread.name} was started" for thread in started]


def _variables() -> dict[Any, Any]:
    """Return the environment as Python keeps it; PERF: ``os.environ`` decodes every value."""
    kept: dict[Any, Any] = vars(os.environ).get("_data", {})
    return kept


def _working_directory() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        return None
