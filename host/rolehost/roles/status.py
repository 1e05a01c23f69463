"""Exit statuses of role processes, which the supervisor understands."""

#: The deployment is wrong; a restart changes nothing until it is mended.
MISCONFIGURED = 3

#: It cannot start here and now: port in use, database locked or unreachable.
CANNOT_START = 4
