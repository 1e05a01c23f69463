"""Detect side effects of a plugin's import with Python's audit events.

See the table of audit events in the CPython documentation.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

#: Events that are side effects, independent of their arguments.
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


#: Suffixes of files that an import may read, in any folder.
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", "METADATA", "entry_points.txt", "direct_url.json")


class Audit:
    """Collects side effects while it listens. Create it only once: audit hooks are permanent.

    Args:
        package: import name of the package; reading its data files is allowed, like code.
    """

    def __init__(self, package: str) -> None:
        self.acts: list[str] = []
        self._listening = False
        #: Folders with code and its data, which may be read.
        places = (*sys.path, sys.prefix, sys.base_prefix, *_folders(package))
        self._code = tuple({os.path.realpath(path) for path in places if path})
        sys.addaudithook(self._hear)
        if sys.version_info < (3, 12):
            self._hear_threads()

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Yield a list that collects side effects in the block, with their locations."""
        acts: list[str] = []
        self.acts = acts
        self._listening = True
        try:
            yield acts
        finally:
            self._listening = False

    def _hear_threads(self) -> None:
        """Detect new threads before Python 3.12, which has no audit event for them."""
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
    """Return the folders of a package without importing it; sys.path lacks editable packages."""
    spec = find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


def _site() -> str:
    """Return the nearest source location outside of this module and the standard library."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and name.partition(".")[0] not in sys.stdlib_module_names:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"
