"""Unique jobs: how long a job reserves a text, and what happens to an existing job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rolehost.api import values


@dataclass(frozen=True, slots=True)
class Unique:
    """Allows at most one job with a text; an option of :meth:`UnitOfWork.enqueue`.

    A unique index of the database enforces it, even if several processes enqueue at the same
    time. If ``enqueue`` returns an existing job, that job does not start before the transaction
    has committed, so it sees everything that the transaction wrote. Since plugin API 2.

    Attributes:
        text: 1 to 600 characters, unique among the jobs of all actors. Begin it with the name of
            the actor.
        until: how long the text is reserved. ``started`` (the default): until a process takes the
            job. A job that is enqueued while the first one runs is a new job, so no change is
            missed. ``ended``: until the job is completed, dead or cancelled. A job that is
            enqueued while the first one runs is dropped, and changes that were made since the
            first one began may be missed. A number: for this number of seconds after enqueueing,
            in every state of the job.
        conflict: the change of an existing job that no process has taken yet. ``keep`` (the
            default): no change. ``replace``: it gets the new arguments. ``move``: it gets the new
            time, which is now or after ``delay``. A job that runs or has ended does not change.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a field is out of bounds.

    Example:
        ``Unique(f"shop.reprice {shop}", conflict="replace")`` runs once, with the latest
        arguments. ``Unique(f"shop.save {cart}", conflict="move")`` with ``delay=5`` runs when
        nothing was enqueued for five seconds (a debounce).
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
            values.seconds("Unique.until", self.until, minimum=0.001)
        if self.conflict not in ("keep", "replace", "move"):
            raise ValueError(
                f"Unique.conflict must be 'keep', 'replace' or 'move', not {self.conflict!r:.40}"
            )
