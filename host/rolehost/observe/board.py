"""The board: a file in which the supervisor lists the processes that hang, and counts restarts.

It is an anonymous file (memfd) that all processes inherit. Only the supervisor writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

#: Environment variable with the descriptor of the file.
BOARD_VARIABLE = "ROLEHOST_BOARD_FD"


class Hang(NamedTuple):
    """One process that hangs; ``process`` is ``worker.0``, or ``http`` and its process id.

    At ``since`` (:func:`time.monotonic`), ``part`` had made no progress for ``silent`` seconds.
    """

    process: str
    pid: int
    part: str
    since: float
    silent: float

    def __str__(self) -> str:
        """Describe the hang in one line."""
        return (
            f"{self.process} (pid {self.pid}) hangs: no progress of {self.part}"
            f" for {self.silent:.1f} s"
        )


class SupervisorState(NamedTuple):
    """The processes that hang and are not replaced yet, and the numbers of restarts.

    ``restarts``: role → reason (``death`` or ``hang``) → restarts since the supervisor started.
    """

    hangs: tuple[Hang, ...] = ()
    restarts: Mapping[str, Mapping[str, int]] = {}


class Board:
    """Access to the file with the descriptor ``number``; None (no supervisor): an empty board."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number
        self._last = SupervisorState()

    @classmethod
    def inherited(cls) -> Board:
        """Return the board that the environment names."""
        number = os.environ.get(BOARD_VARIABLE)
        return cls(int(number) if number else None)

    def write(self, state: SupervisorState) -> None:
        """Replace the state; only the supervisor calls this."""
        if self._number is not None:
            data = json.dumps(state).encode()
            # The padding overwrites the rest of a longer state.
            os.pwrite(self._number, data.ljust(os.fstat(self._number).st_size), 0)

    def read(self) -> SupervisorState:
        """Return the state."""
        if self._number is not None:
            # A state that is only half written is not valid JSON; the last one is returned then.
            with suppress(OSError, ValueError):
                data = os.pread(self._number, os.fstat(self._number).st_size, 0)
                hangs, restarts = json.loads(data or b"[[], {}]")
                self._last = SupervisorState(tuple(Hang(*each) for each in hangs), restarts)
        return self._last
