"""What a drain has run, and how each of it ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: Endings after which nothing more happens by itself.
WELL = frozenset({"completed", "handled", "duplicate", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One attempt at a job, one event that was handled, or one message of an ephemeral actor.

    Attributes:
        kind: what it was.
        name: of the actor or handler.
        outcome: as recorders are told: of a job ``completed``, ``retrying``, ``snoozed``,
            ``dead``, ``cancelled`` or ``lost``; of an event ``handled``, ``duplicate`` or
            ``dead``; of a message ``completed``, ``retrying`` or ``dead``.
        id: the job's id, the event's, or the message's; what is tried again keeps it.
        arguments: of the job or message, as JSON gives them; of an event its payload where it
            is an object.
        error: what was raised, the last time it was tried; None when nothing was.
    """

    kind: Literal["job", "event", "message"]
    name: str
    outcome: str
    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None

    def __str__(self) -> str:
        shown = json.dumps(dict(self.arguments), default=str)
        failed = "" if self.error is None else f" ({type(self.error).__name__}: {self.error})"
        return f"{self.kind} {self.id} of {self.name} {self.outcome}{failed} {shown}"


class Drained(list[Ran]):
    """Everything that a drain ran, in its order."""

    @property
    def outcomes(self) -> Counter[str]:
        """How many ended how."""
        return Counter(each.outcome for each in self)

    @property
    def names(self) -> list[str]:
        """Names of the actors and handlers that ran, in their order."""
        return [each.name for each in self]

    @property
    def failures(self) -> list[Ran]:
        """Return the last try of each that raised and has not ended well since."""
        failed: dict[tuple[str, str, str], Ran] = {}
        for each in self:
            place = each.kind, each.name, each.id
            if each.error is not None:
                failed[place] = each
            elif each.outcome in WELL:
                failed.pop(place, None)
        return list(failed.values())

    def raise_failures(self) -> None:
        """Raise what a job, event or message raised; several as one group.

        Raises:
            Exception: the only failure, with a note that says whose it is.
            ExceptionGroup: several.
        """
        failures = self.failures
        errors = []
        for each in failures:
            error = each.error
            assert error is not None  # that is what makes a failure
            error.add_note(f"raised by {each}")
            errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            text = f"{len(errors)} of {len(self)} that ran have failed"
            raise BaseExceptionGroup(text, errors)
