"""Unique jobs: how long a text is taken by one job, and what happens to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rolehost.api import values


@dataclass(frozen=True, slots=True)
class Unique:
    """Makes at most one job of a text; an option of :meth:`UnitOfWork.enqueue`.

    A unique index of the database enforces it, also between processes that enqueue at once. A
    transaction that is given an existing job holds it back until its own commit, so the job
    runs when everything is committed that was written before it was enqueued again. Since
    plugin API 2.

    Attributes:
        text: what is unique, 1 to 600 characters, among the jobs of all actors: begin it with
            the name of the actor.
        until: how long the text is taken. ``started``: until a process takes the job; one that
            is enqueued while it runs is another job, so the newest data is always seen.
            ``ended``: until the job is completed, dead or cancelled; one that is enqueued while
            it runs is dropped, and what was written since it began may never be seen. A number:
            for so many seconds from its enqueueing, whatever becomes of the job.
        conflict: what an existing job that no process has taken yet gets of the one that is
            not made. ``keep``: nothing. ``replace``: its arguments. ``move``: its time: now, or
            after ``delay``. An existing job that runs, or is over, stays as it is.

    Raises:
        TypeError, ValueError: a field is of the wrong type, or out of bounds.

    Example:
        ``Unique(f"shop.reprice {shop}", conflict="replace")`` runs once, with the arguments
        that were given last; ``Unique(f"shop.save {cart}", conflict="move")`` with ``delay=5``
        runs when nothing has come for five seconds.
    """

    text: str
    until: Literal["started", "ended"] | float = "started"
    conflict: Literal["keep", "replace", "move"] = "keep"

    def __post_init__(self) -> None:
        values.text("unique", self.text)
        if self.until not in ("started", "ended"):
            if isinstance(self.until, str):
                raise ValueError(
                    f"Unique.until must be 'started', 'ended' or seconds, not {self.until!r:.40}"
                )
            values.seconds("Unique.until", self.until, least=0.001)
        if self.conflict not in ("keep", "replace", "move"):
            raise ValueError(
                f"Unique.conflict must be 'keep', 'replace' or 'move', not {self.conflict!r:.40}"
            )
