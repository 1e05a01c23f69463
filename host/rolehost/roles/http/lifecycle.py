"""The life of one http worker: load, wait for backends, serve, drain, stop."""

from __future__ import annotations

import gc
import mmap
import sys
import threading
from typing import NoReturn

import structlog

from rolehost.errors import RolehostError, StorageRefused, StorageUnavailable
from rolehost.roles.http.application import Application, build, startup_application
from rolehost.roles.http.scope import Asgi
from rolehost.roles.lifecycle import run_interruptibly, start_when_available
from rolehost.roles.process import Process
from rolehost.roles.serving import report_failure, status_of

log = structlog.get_logger(__name__)

#: Seconds to wait for backends at the start before a process serves the startup application.
FIRST_WAIT = 1.0


class Lifecycle:
    """Starts and stops the role process of a gunicorn worker, and holds its application.

    gunicorn's master makes the object; each worker has a copy after the fork. ``replaces``: other
    processes serve until this role is ready. ``logs_wait``: this worker logs the wait for backends.
    """

    def __init__(self, process: Process, *, replaces: bool) -> None:
        self.process = process
        self.http = process.composition.deployment.host.http
        self.logs_wait = True
        self._replaces = replaces
        # Shared by all workers: a mark for each serving worker, and one for the first failure.
        self._marks = mmap.mmap(-1, self.http.processes + 1)
        #: The application that the worker serves; set by :meth:`load`.
        self.application: Application
        #: Whether that is the startup application.
        self.waiting = False

    def load(self) -> Asgi:
        """Start the process and build its application; called in each worker.

        If a backend does not answer, return the startup application; the worker then serves it
        and calls :meth:`begin`.
        """
        process = self.process
        try:
            if self._replaces and not self._was_ready():
                # Other processes serve, so this one needs no startup application.
                start_when_available(process, threading.Event())
                self.application = self._build()
                return self.application.asgi
            if run_interruptibly(process.ping, threading.Event(), limit=FIRST_WAIT):
                process.start()
                self.application = self._build()
                return self.application.asgi
        except StorageUnavailable as error:
            if isinstance(error, StorageRefused) and not self._was_ready():
                self.fail(error)
        except Exception as error:
            self.fail(error)
        self.application = startup_application(process.composition)
        self.waiting = True
        return self.application.asgi

    def begin(self, stop: threading.Event) -> Application | None:
        """Wait for the backends, then start the process and return its application.

        None: ``stop`` was set before the start. If this raises, the process cannot start.
        """
        refused = not self._was_ready()
        if not start_when_available(
            self.process, stop, quiet=not self.logs_wait, raise_refused=refused
        ):
            return None
        return self._build()

    def _build(self) -> Application:
        process = self.process
        application = build(process.composition, process.services, process.services.recorders)
        # These objects live as long as the process; a full collection need not visit them.
        gc.freeze()
        return application

    def replace_startup(self, application: Application) -> Application:
        """Replace the startup application; return the startup application, to be closed."""
        startup, self.application = self.application, application
        self.waiting = False
        return startup

    def note_serving(self) -> None:
        """Record that this worker accepts connections; the last worker makes the role ready."""
        self.process.mark_ready()
        mine = self._marks.find(b"\0", 0, self.http.processes)
        if mine >= 0:
            self._marks[mine] = 1
            if self._was_ready():
                self.process.announce_ready()

    def _was_ready(self) -> bool:
        """Whether the role was ready once; then one failed worker must not end the others."""
        return self._marks.find(b"\0", 0, self.http.processes) < 0

    def fail(self, error: Exception) -> NoReturn:
        """End a worker that cannot start; the first one reports the reason, in one line.

        gunicorn's master then ends too, because of the exit status of its worker.
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
            # Nothing was started, and closing would wait for a pending connection attempt.
            return
        self.application.close()
        try:
            self.process.drain()
        finally:
            self.process.stop()
