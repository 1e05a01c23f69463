"""The life of one http worker: load, wait for backends, serve, drain, stop."""

from __future__ import annotations

import gc
import mmap
import sys
import threading
from typing import NoReturn

import structlog

from rolehost.errors import RolehostError, StorageRefused, StorageUnavailable
from rolehost.roles.http.application import Application, StartupApplication, build
from rolehost.roles.http.scope import Asgi
from rolehost.roles.lifecycle import run_interruptibly, start_when_available
from rolehost.roles.process import Process
from rolehost.roles.serving import report_failure, status_of

log = structlog.get_logger(__name__)

#: Seconds to wait for backends at the start before a process serves the startup application.
FIRST_WAIT = 1.0


class Lifecycle:
    """Starts and stops the role process of a gunicorn worker, and holds its application.

    gunicorn's master makes it; each worker has a copy after the fork. ``replaces``: other
    processes serve until this role is ready. ``first``: only this one of several waiting workers
    logs the wait.
    """

    def __init__(self, process: Process, *, replaces: bool) -> None:
        self.process = process
        self.http = process.composition.deployment.host.http
        self.first = True
        self._replaces = replaces
        # Shared by all workers: a mark for each serving worker, and one for the first failure.
        self._marks = mmap.mmap(-1, self.http.processes + 1)
        self._application: Application | None = None
        self._startup: StartupApplication | None = None

    def load(self) -> Asgi:
        """Start the process and build its application; called in each worker.

        If a backend does not answer, return the startup application; the worker serves it and
        calls :meth:`begin`.
        """
        process = self.process
        try:
            if self._replaces and not self._was_ready():
                # Other processes serve, so this one needs no startup application.
                start_when_available(process, threading.Event())
                return self._build()
            if run_interruptibly(process.ping, threading.Event(), limit=FIRST_WAIT):
                process.start()
                return self._build()
        except StorageUnavailable as error:
            if isinstance(error, StorageRefused) and not self._was_ready():
                self.fail(error)
        except Exception as error:
            self.fail(error)
        self._startup = StartupApplication(process.composition)
        return self._startup.asgi

    def begin(self, stop: threading.Event) -> Asgi | None:
        """Wait for the backends, then start the process and build its application.

        None: ``stop`` was set before the start. If this raises, the process cannot start.
        """
        refused = not self._was_ready()
        if not start_when_available(
            self.process, stop, quiet=not self.first, raise_refused=refused
        ):
            return None
        return self._build()

    def _build(self) -> Asgi:
        process = self.process
        self._application = build(
            process.composition,
            process.services,
            process.services.recorders,
            process.composition.deployment.host,
        )
        # These objects live as long as the process; a full collection need not visit them.
        gc.freeze()
        return self._application.asgi

    @property
    def waiting(self) -> bool:
        """Whether the worker serves the startup application."""
        return self._startup is not None

    def leave_startup(self) -> StartupApplication | None:
        """Stop using the startup application and return it; the caller closes it."""
        startup, self._startup = self._startup, None
        return startup

    def serving(self) -> None:
        """Note that the worker accepts connections; the last worker makes the role ready."""
        self.process.mark_ready()
        mine = self._marks.find(b"\0", 0, self.http.processes)
        if mine >= 0:
            self._marks[mine] = 1
            if self._was_ready():
                self.process.announce_ready()

    def _was_ready(self) -> bool:
        """Whether the role was ready before; then one failed worker must not end the others."""
        return self._marks.find(b"\0", 0, self.http.processes) < 0

    def stuck(self, seconds: float) -> bool:
        """Whether requests wait for a thread and no thread became free for ``seconds``."""
        return self._application is not None and self._application.threads.stuck(seconds)

    def end_streams(self) -> None:
        """End the event streams, because the process drains."""
        if self._application is not None:
            self._application.streams.end()

    def fail(self, error: Exception) -> NoReturn:
        """End a worker that cannot start; the first one reports the reason, in one line.

        When a worker exits with one of these statuses, gunicorn's master ends and starts no other
        worker.
        """
        if not self._marks[-1]:
            self._marks[-1] = 1
            if isinstance(error, RolehostError):
                report_failure("http", error)
            else:
                log.error("the http role cannot start", exc_info=error)
        if not self.waiting:
            self.process.stop()
        sys.exit(status_of(error))

    def unload(self) -> None:
        """Drain and stop the process; call it when no request is left in this worker."""
        if self.waiting:
            # Nothing was started, and to close would wait for a pending connection attempt.
            return
        if self._application is not None:
            self._application.close()
        try:
            self.process.drain()
        finally:
            self.process.stop()
