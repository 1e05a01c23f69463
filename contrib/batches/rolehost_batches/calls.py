"""Calls: an actor with arguments and options, which a batch enqueues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rolehost.api import Actor

#: A step: one call, or several that run at the same time.
Step = "Call | Sequence[Call]"


@dataclass(frozen=True, slots=True)
class Call:
    """A job that a batch enqueues; made by :func:`call`.

    Attributes:
        actor: the actor, or its name if it belongs to another deployment.
        arguments: its arguments, by name.
        options: options of :meth:`rolehost.api.UnitOfWork.enqueue`, by name.
    """

    actor: Actor | str
    arguments: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> tuple[str, list[tuple[str, Any]]]:
        """What calls have in common that are enqueued together."""
        name = self.actor if isinstance(self.actor, str) else self.actor.name
        return name, sorted(self.options.items())


def call(
    actor: Actor | str,
    /,
    *,
    key: str | None = None,
    partition: str | None = None,
    priority: int | None = None,
    **arguments: Any,
) -> Call:
    """Make a :class:`Call`.

    Args:
        actor: the actor, or its name if it belongs to another deployment.
        key: as in :meth:`rolehost.api.UnitOfWork.enqueue`. A job of a later step keeps its place
            in the order of its key, so later jobs of the key wait until the step has run.
        partition: as there.
        priority: as there.
        arguments: arguments of the actor, by name.

    Raises:
        TypeError: ``actor`` is neither an actor nor a name.
    """
    if not isinstance(actor, Actor | str):
        raise TypeError(f"call() needs an actor or its name, not {actor!r:.80}")
    given = {"key": key, "partition": partition, "priority": priority}
    options = {name: value for name, value in given.items() if value is not None}
    return Call(actor, arguments, options)


def calls_of(step: Call | Sequence[Call]) -> list[Call]:
    """Return the calls of a step. Raises TypeError for anything else than calls."""
    calls = [step] if isinstance(step, Call) else list(step)
    for each in calls:
        if not isinstance(each, Call):
            raise TypeError(f"a step is a call() or a sequence of them, not {each!r:.80}")
    return calls


def alike(calls: Sequence[Call]) -> list[list[Call]]:
    """Divide calls into runs with one actor and the same options."""
    return [list(run) for _, run in groupby(calls, key=lambda each: each.kind)]
