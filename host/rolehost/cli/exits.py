"""Exit statuses of every command."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
CONFIGURATION = 3
CANNOT_START = 4
NOTHING_TO_RUN = 5
INTERRUPTED = 130

#: One line each, for ``rolehost --help``.
MEANINGS = {
    OK: "done; it holds",
    FAILED: "a check does not hold, or a command failed",
    USAGE: "wrong usage",
    CONFIGURATION: "mistakes in the deployment or in a plugin, or a backend refuses its settings",
    CANNOT_START: "cannot start here: port, database, file",
    NOTHING_TO_RUN: "no enabled plugin contributes anything to run",
    INTERRUPTED: "interrupted",
}
