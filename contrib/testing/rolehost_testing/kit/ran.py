"""The jobs, events and messages that a drain ran, and their outcomes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: Outcomes that are final and not a failure.
WELL = frozenset({"completed", "handled", "duplicate", "cancelled", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One attempt of a job, one handled event, or one message of an ephemeral actor.

    Attributes:
        kind: which of the three it is.
        name: name of the actor or handler.
        outcome: as in metrics: for a job ``completed``, ``retrying``, ``snoozed``, ``dead``,
            ``cancelled``, ``expired`` or ``lost``; for an event ``handled``, ``duplicate`` or
            ``dead``; for a message ``completed``, ``retrying`` or ``dead``.
        id: the id of the job, event or message; a retry has the same id.
        arguments: the arguments of the job or message, decoded from JSON; for an event, the
            payload if it is a JSON object.
        error: the exception of the last try, or None.
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
    """Everything that a drain ran, in order."""

    @property
    def outcomes(self) -> Counter[str]:
        """The number of items by outcome."""
        return Counter(each.outcome for each in self)

    @property
    def names(self) -> list[str]:
        """Names of the actors and handlers that ran, in order."""
        return [each.name for each in self]

    @property
    def failures(self) -> list[Ran]:
        """Return the last attempt of each item that failed and did not succeed later."""
        failed: dict[tuple[str, str, str], Ran] = {}
        for each in self:
            place = each.kind, each.name, each.id
            if each.error is not None:
                failed[place] = each
            elif each.outcome in WELL:
                failed.pop(place, None)
        return list(failed.values())

    def raise_failures(self) -> None:
        """Raise the exceptions of failed jobs, events and messages, if any.

        Raises:
            Exception: one item failed; a note names the item.
            ExceptionGroup: several items failed.
        """
        failures = self.failures
        errors = []
        for each in failures:
            error = each.error
            assert error is not None  # failures() returns only items with an error
            error.add_note(f"raised by {each}")
            errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            text = f"{len(errors)} of {len(self)} items that ran have failed"
            raise BaseExceptionGroup(text, errors)
