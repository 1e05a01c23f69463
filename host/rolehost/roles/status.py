"""What role processes and the supervisor agree on: exit statuses, a pipe, and a signal."""

from __future__ import annotations

import signal

#: The deployment is wrong, or a backend refuses what it says; a restart changes nothing until
#: it is mended.
MISCONFIGURED = 3

#: It cannot start here and now: port in use, file unreadable, migrations pending.
CANNOT_START = 4

#: A backend went away while it started; the next start waits for it.
AWAY = 6

#: Environment variable with the number of the pipe on which a process tells the supervisor, a
#: line each: ``waiting`` for a backend, ``ready``, ``draining``, ``failed`` and why.
STATUS_VARIABLE = "ROLEHOST_STATUS_FD"

#: Environment variable with the number of a file that holds the deployment's texts, as
#: :class:`rolehost.deployment.Sources` has written them; without it they are read from disk.
SOURCES_VARIABLE = "ROLEHOST_SOURCES_FD"

#: Environment variable with the number of the listening socket, which the supervisor has opened
#: so that it outlives the processes of the role http.
LISTENER_VARIABLE = "ROLEHOST_LISTENER_FD"

#: Environment variable of a process that comes in a reload: those that it replaces serve until
#: it is ready, so it must not serve before.
REPLACES_VARIABLE = "ROLEHOST_REPLACES"

#: What retires the role http in a reload: its listener stays open, in other processes. It takes
#: no more connections, and each that it has ends after its next answer, or when it was idle for
#: ``[http] keep_alive`` seconds. All other roles are drained by TERM alone.
RETIRE = signal.SIGUSR1
