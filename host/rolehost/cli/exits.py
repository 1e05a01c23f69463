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
    OK: "the command succeeded, the check passed",
    FAILED: "a check or the command failed",
    USAGE: "the command, an option or an argument is wrong",
    CONFIGURATION: "the deployment or a plugin has errors, or a backend refuses its settings",
    CANNOT_START: "the deployment cannot start here: a port, a database, a file",
    NOTHING_TO_RUN: "no enabled plugin contributes anything to run",
    INTERRUPTED: "interrupted",
}
