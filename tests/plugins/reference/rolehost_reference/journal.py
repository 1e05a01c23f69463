"""One line for each step in a process's life, to be read by tests."""

from __future__ import annotations

from pathlib import Path

from rolehost.api import ProcessContext


def note(context: ProcessContext, step: str) -> None:
    """Append ``ROLE STEP`` to the journal; short appends of several processes do not mix."""
    path: Path = context.settings.journal
    with path.open("a", encoding="utf-8") as journal:
        journal.write(f"{context.role} {step}\n")
