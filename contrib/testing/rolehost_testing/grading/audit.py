"""What Python's audit events tell of a plugin that ought to do nothing.

Source: the table of audit events in the documentation of CPython.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

#: Events that are acts, whatever their arguments.
_ACTS = frozenset(
    {
        "_thread.start_new_thread",
        "_thread.start_joinable_thread",
        "os.chmod",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.link",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.spawn",
        "os.symlink",
        "os.system",
        "os.truncate",
        "shutil.copyfile",
        "shutil.move",
        "shutil.rmtree",
        "signal.pthread_kill",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "sqlite3.connect",
        "subprocess.Popen",
        "tempfile.mkdtemp",
        "tempfile.mkstemp",
        "urllib.Request",
    }
)

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


#: Ends of files that are read when a module is imported, wherever an import finder found it.
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", "METADATA", "entry_points.txt", "direct_url.json")


class Audit:
    """Collects acts while it listens; there can be no more than one, for hooks stay for good.

    Args:
        package: import name of the package whose own data may be read, like code.
    """

    def __init__(self, package: str) -> None:
        self.acts: list[str] = []
        self._listening = False
        #: Reading below these is reading code and its data.
        places = (*sys.path, sys.prefix, sys.base_prefix, *_folders(package))
        self._code = tuple({os.path.realpath(path) for path in places if path})
        sys.addaudithook(self._hear)
        if sys.version_info < (3, 12):
            self._hear_threads()

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Yield the list that acts within the block are added to, each with its place."""
        acts: list[str] = []
        self.acts = acts
        self._listening = True
        try:
            yield acts
        finally:
            self._listening = False

    def _hear_threads(self) -> None:
        """Hear of threads where Python does not tell by itself, which it does from 3.12 on."""
        start = threading.Thread.start

        def heard(thread: threading.Thread) -> None:
            self._hear("_thread.start_new_thread", ())
            start(thread)

        threading.Thread.start = heard  # type: ignore[method-assign,assignment]

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._listening:
            return
        if event in _ACTS:
            self._note(event, arguments)
        elif event == "open":
            path, mode, flags = arguments
            if isinstance(path, int):
                return
            self._listening = False
            try:
                real = os.path.realpath(os.fsdecode(path))
            finally:
                self._listening = True
            writes = bool((flags or 0) & _WRITING) or any(c in (mode or "") for c in "wax+")
            reads_code = real.endswith(_CODE) or real.startswith(self._code)
            if writes or not (reads_code or real.startswith(("/dev/null", "/proc/self"))):
                self._note("open", (real,))

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        subject = next((str(each) for each in arguments if isinstance(each, str | tuple)), "")
        act = f"{event} {subject}".strip() + f" at {_site()}"
        if act not in self.acts:
            self.acts.append(act)


def _folders(package: str) -> list[str]:
    """Return where a package lies, without importing it; an editable one is not on sys.path."""
    spec = find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


def _site() -> str:
    """Return the nearest line that is neither ours nor of Python itself."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and name.partition(".")[0] not in sys.stdlib_module_names:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"
