"""The protocol between supervisor and role processes: exit statuses, variables, a signal."""

from __future__ import annotations

import signal

#: The deployment has errors, or a backend refuses its settings; a restart helps only after a fix.
MISCONFIGURED = 3

#: The process cannot start now, for example: port in use, file unreadable, migrations pending.
CANNOT_START = 4

#: A backend became unavailable during the start; the restarted process waits for it.
UNAVAILABLE = 6

#: A job did not end after its time limit, so the process has stopped; a new one goes on.
STUCK = 7

#: Environment variable with the descriptor of the status pipe, on which a process writes lines for
#: the supervisor: ``waiting`` for a backend, ``ready``, ``draining``, ``failed`` and the error, and
#: the lines about progress (:mod:`rolehost.supervisor.hangs`).
STATUS_VARIABLE = "ROLEHOST_STATUS_FD"

#: Environment variable with the descriptor of a file that holds the deployment's texts, as
#: :class:`rolehost.deployment.Sources` wrote them; without it, processes read the texts from
#: disk.
SOURCES_VARIABLE = "ROLEHOST_SOURCES_FD"

#: Environment variable with the descriptor of the listening socket, which the supervisor opened so
#: that it outlives the processes of the role http.
LISTENER_VARIABLE = "ROLEHOST_LISTENER_FD"

#: Environment variable of a process that a reload starts. It must not serve before it is ready,
#: because the processes that it replaces serve until then.
REPLACES_VARIABLE = "ROLEHOST_REPLACES"

#: The signal that retires processes of the role http in a reload: they accept no connections, and
#: close each one after its next response, or after ``[http] keep_alive`` idle seconds. Their
#: listener stays open in other processes. All other roles are retired by TERM.
RETIRE = signal.SIGUSR1
