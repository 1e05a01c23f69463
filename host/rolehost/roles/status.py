"""What role processes and the supervisor agree on: exit statuses, and a pipe."""

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
