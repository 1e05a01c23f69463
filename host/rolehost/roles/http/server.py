"""Embeds gunicorn: its settings, its logs through the host's logs, and the listening socket."""

from __future__ import annotations

import logging
import math
import os
import socket
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from rolehost.roles.http.lifecycle import Lifecycle
from rolehost.roles.http.listener import inherited_listener, open_listener
from rolehost.roles.http.master import Master
from rolehost.roles.http.scope import Asgi
from rolehost.roles.http.worker import HostWorker
from rolehost.roles.parent_death import die_with_parent
from rolehost.roles.process import Process
from rolehost.roles.status import CANNOT_START, MISCONFIGURED, REPLACES_VARIABLE

#: Seconds for plugins to drain and stop, after the last request.
STOP_SECONDS = 5.0

#: Limits: bytes of a request line (else 414), number of header fields and bytes of one (else 431).
REQUEST_LINE, FIELDS, FIELD_BYTES = 8190, 100, 8190


class QuietLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, which writes through the host's logs; its ``info`` becomes ``debug``."""

    def setup(self, cfg: Any) -> None:
        """Use the standard library's root handler instead of gunicorn's streams."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.loglevel = logging.getLogger().level
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ``debug``."""
        self.error_log.debug(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ``error``, or at ``debug`` if a worker has logged the same already."""
        echo = msg.startswith(("Shutting down", "Reason")) or (
            msg.startswith("Worker") and args[-1:] in ((MISCONFIGURED,), (CANNOT_START,))
        )
        self.error_log.log(logging.DEBUG if echo else logging.ERROR, msg, *args, **kwargs)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's application, which owns the listener; each worker has a copy of it."""

    def __init__(self, lifecycle: Lifecycle, listener: socket.socket) -> None:
        self.lifecycle = lifecycle
        self._listener = listener.detach()
        self._master = os.getpid()
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; all others keep their defaults."""
        http = self.lifecycle.http
        name = self.lifecycle.process.composition.deployment.name
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
            # Master.murder_workers has another rule for workers without progress.
            "timeout": 0,
            "limit_request_line": REQUEST_LINE,
            "limit_request_fields": FIELDS,
            "limit_request_field_size": FIELD_BYTES,
            "logger_class": QuietLogger,
            "proc_name": f"rolehost http {name}",
            "post_fork": self._post_fork,
        }
        for key, value in settings.items():
            self.cfg.set(key, value)

    def load(self) -> Asgi:
        """Return the application of a worker; gunicorn calls it after the fork."""
        return self.lifecycle.load()

    def _post_fork(self, _arbiter: Any, worker: Any) -> None:
        self.lifecycle.logs_wait = worker.age == 1
        die_with_parent(self._master)


def run(process: Process) -> int:
    """Serve HTTP until a signal asks to stop; StartError: the address cannot be bound.

    The exit status is 0 after a drain, and 3 or 4 if a worker could not start.
    """
    inherited = inherited_listener()
    host = process.composition.deployment.host
    listener = inherited or open_listener(host.http.bind)
    replaces = os.environ.pop(REPLACES_VARIABLE, None) is not None
    pid = os.getpid()
    try:
        server = Server(Lifecycle(process, replaces=replaces), listener)
        Master(server, host, process.beats, inherited=inherited is not None).run()
    except SystemExit as stop:
        if os.getpid() != pid:
            raise  # this is a worker
        return stop.code if isinstance(stop.code, int) else 0
    except HaltServer as halt:
        # A second worker failed while gunicorn was stopping because of the first one.
        status: int = halt.exit_status
        return status
    return 0
