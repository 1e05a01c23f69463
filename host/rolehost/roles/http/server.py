"""gunicorn, embedded: its settings, its logs in ours, and the life of its workers."""

from __future__ import annotations

import gc
import logging
import math
import mmap
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from rolehost.errors import RolehostError, StorageRefused, StorageUnavailable
from rolehost.roles.http.application import Application, build
from rolehost.roles.http.doorway import Doorway
from rolehost.roles.http.gate import Asgi
from rolehost.roles.http.listener import inherited_listener, open_listener
from rolehost.roles.http.master import Master, Pauses
from rolehost.roles.http.worker import HostWorker
from rolehost.roles.lifeline import follow_parent
from rolehost.roles.serving import status_of, tell_failure
from rolehost.roles.status import CANNOT_START, MISCONFIGURED, REPLACES_VARIABLE
from rolehost.roles.waiting import answered, started

if TYPE_CHECKING:
    from rolehost.roles.process import Process

log = structlog.get_logger(__name__)

#: Seconds for plugins to drain and stop, after the last request.
STOP_SECONDS = 5.0

#: Seconds after which a process whose backends have not answered serves its probes first.
FIRST_LOOK = 1.0

#: Bytes of a request line, number of header fields, bytes of one of them; beyond, gunicorn
#: answers 414 and 431.
REQUEST_LINE, FIELDS, FIELD_BYTES = 8190, 100, 8190


class QuietLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, writing through ours; its progress reports are ``debug`` to us."""

    def setup(self, cfg: Any) -> None:
        """Take the standard library's root handler instead of streams of gunicorn's own."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.loglevel = logging.getLogger().level
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ``debug``."""
        self.error_log.debug(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ``error``, but not the echo of what a worker has said itself."""
        echo = msg.startswith(("Shutting down", "Reason")) or (
            msg.startswith("Worker") and args[-1:] in ((MISCONFIGURED,), (CANNOT_START,))
        )
        self.error_log.log(logging.DEBUG if echo else logging.ERROR, msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Do nothing: lines go to standard error."""


class Server(BaseApplication):  # type: ignore[misc]
    """The application as gunicorn knows it: one in the master, a copy in each worker.

    Args:
        process: see below.
        listener: the listening socket; taken over.
        inherited: it is the supervisor's too.
        replaces: other processes serve until this role is ready.

    Attributes:
        process: the role process; started in each worker, after its fork.
        http: its ``[http]`` settings.
    """

    def __init__(
        self, process: Process, listener: socket.socket, *, inherited: bool, replaces: bool
    ) -> None:
        self._inherited = inherited
        self._replaces = replaces
        self.process = process
        self.http = process.composition.deployment.host.http
        self._listener = listener.detach()
        self._master = os.getpid()
        # Shared by all workers: a mark for each that accepts, and one for the first to fail.
        self._booted = mmap.mmap(-1, self.http.processes + 1)
        self._application: Application | None = None
        self._doorway: Doorway | None = None
        # Of several workers that wait, one tells of it.
        self._speaks = True
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings; everything that is not named keeps its default."""
        http = self.http
        settings = {
            "bind": f"fd://{self._listener}",
            "worker_class": HostWorker,
            "workers": http.processes,
            "http_parser": "python",
            "header_map": "refuse",
            "control_socket_disable": True,
            "asgi_lifespan": "off",
            "keepalive": math.ceil(http.keep_alive),
            "graceful_timeout": math.ceil(http.shutdown_delay + http.grace + STOP_SECONDS),
            # Who makes no progress is ended by a rule of ours.
            "timeout": 0,
            "limit_request_line": REQUEST_LINE,
            "limit_request_fields": FIELDS,
            "limit_request_field_size": FIELD_BYTES,
            "logger_class": QuietLogger,
            "proc_name": f"rolehost http {self.process.composition.deployment.name}",
            "post_fork": self._forked,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Run gunicorn's master."""
        settings = self.process.composition.deployment.host.supervisor
        Master(
            self,
            Pauses(settings),
            inherited=self._inherited,
            beats=self.process.beats,
            hang=settings.hang,
            grace=self.http.grace + self.http.shutdown_delay,
        ).run()

    def load(self) -> Asgi:
        """Start the process and build its application; called in each worker.

        Where a backend is away, the application is one that says so, and :meth:`begin` goes on
        waiting when the worker serves it.
        """
        process = self.process
        try:
            if self._replaces and not self._runs():
                # Others serve: nobody is to be told by this one that he must wait.
                started(process, threading.Event())
                return self._begun()
            if answered(process.ping, threading.Event(), limit=FIRST_LOOK):
                process.start()
                return self._begun()
        except StorageUnavailable as error:
            if isinstance(error, StorageRefused) and not self._runs():
                self.fail(error)
        except Exception as error:
            self.fail(error)
        self._doorway = Doorway(process.composition)
        return self._doorway.asgi

    def stuck(self, seconds: float) -> bool:
        """Say whether requests wait for threads of which none came free for so long."""
        application = self._application
        return application is not None and application.pool.stuck(seconds)

    def end_streams(self) -> None:
        """End the event streams, because the process drains."""
        if self._application is not None:
            self._application.streams.end()

    @property
    def waiting(self) -> bool:
        """Whether the process is still to be started, by :meth:`begin`."""
        return self._doorway is not None

    def begin(self, stop: threading.Event) -> Asgi | None:
        """Wait for the backends, then start; None: told to stop before.

        Raises:
            Exception: it cannot start.
        """
        doorway = self._doorway
        assert doorway is not None
        if not started(self.process, stop, speak=self._speaks, refused=not self._runs()):
            return None
        asgi = self._begun()
        self._doorway = None
        doorway.close()
        return asgi

    def _begun(self) -> Asgi:
        process = self.process
        self._application = build(
            process.composition,
            process.services,
            process.services.recorders,
            process.composition.deployment.host,
        )
        # What exists now lives as long as the process; collections need not look at it.
        gc.freeze()
        return self._application.asgi

    def _runs(self) -> bool:
        """Whether the role was ready once: then the other processes of it must be kept."""
        return self._booted.find(b"\0", 0, self.http.processes) < 0

    def fail(self, error: Exception) -> NoReturn:
        """End a worker that cannot start; the first one says why, in one line.

        gunicorn's master ends, instead of trying again and again, when a worker exits with one
        of these two statuses.
        """
        if not self._booted[-1]:
            self._booted[-1] = 1
            if isinstance(error, RolehostError):
                tell_failure("http", error)
            else:
                log.error("the http role cannot start", exc_info=error)
        if not self.waiting:
            self.process.stop()
        sys.exit(status_of(error))

    def serving(self) -> None:
        """A worker accepts; the last of the first ones says that the role is ready."""
        self.process.takes_work()
        last = self.http.processes
        mine = self._booted.find(b"\0", 0, last)
        if mine < 0:
            return
        self._booted[mine] = 1
        if self._runs():
            self.process.announce_ready()

    def unload(self) -> None:
        """No request is left in this worker: drain and stop the process."""
        if self.waiting:
            # Nothing was started, and closing would wait for a connection that is being tried.
            return
        if self._application is not None:
            self._application.close()
        try:
            self.process.drain()
        finally:
            self.process.stop()

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        self._speaks = worker.age == 1
        follow_parent(self._master)


def run(process: Process) -> int:
    """Serve HTTP until told to stop.

    Returns:
        The exit status: 0 after a drain, 3 or 4 when a worker could not start.

    Raises:
        StartError: the address cannot be bound.
    """
    inherited = inherited_listener()
    listener = inherited or open_listener(process.composition.deployment.host.http.bind)
    replaces = os.environ.pop(REPLACES_VARIABLE, None) is not None
    master = os.getpid()
    try:
        Server(process, listener, inherited=inherited is not None, replaces=replaces).run()
    except SystemExit as stop:
        if os.getpid() != master:
            raise
        return stop.code if isinstance(stop.code, int) else 0
    except HaltServer as halt:
        # A second worker failed while gunicorn was stopping for the first.
        status: int = halt.exit_status
        return status
    return 0
