"""Lists and assertions about the jobs, events and dead letters of a host."""

from __future__ import annotations

from typing import Any

from rolehost.api import Actor
from rolehost.composition import Composition
from rolehost.delivery import deadletters
from rolehost.delivery.deadletters import DeadLetter

from rolehost_testing.kit import looking
from rolehost_testing.kit.events import note
from rolehost_testing.kit.looking import Enqueued, Published
from rolehost_testing.kit.metrics import Metrics
from rolehost_testing.kit.processes import Processes
from rolehost_testing.kit.world import World


class Assertions:
    """The read-only part of a host: lists and assertions of jobs, events and dead letters."""

    composition: Composition
    _processes: Processes
    _world: World

    @property
    def metrics(self) -> Metrics:
        """The metrics that the host's processes recorded."""
        return self._processes.metrics

    @property
    def enqueued(self) -> list[Enqueued]:
        """Every durable job in the database, in any state, oldest first."""
        with self._processes.within("command") as services:
            return looking.enqueued(services.database)

    @property
    def published(self) -> list[Published]:
        """Every event that a unit of work in this world published, oldest first."""
        with self._processes.within("command") as services:
            if "database" in self.composition.backends:
                note(services.delivery, self._world.published)
        return looking.published(list(self._world.published.values()))

    @property
    def dead(self) -> list[DeadLetter]:
        """The dead-lettered jobs, events and ephemeral messages, newest first."""
        kinds = self.composition.backends
        with self._processes.within("command") as services:
            found = deadletters.listing(services.database) if "database" in kinds else []
            if "queue" in kinds:
                found += deadletters.list_messages(services.queue)
        return sorted(found, key=lambda letter: -letter.died_at)

    def assert_enqueued(self, actor: Actor | str, /, **arguments: Any) -> Enqueued:
        """Fail unless a job of the actor with matching arguments was enqueued; return the first.

        Arguments that are not given may have any value. The same holds for keys of nested
        mappings. The job may be in any state; check its ``state`` if needed.
        """
        __tracebackhide__ = True
        jobs = self.enqueued
        found = looking.matching_job(jobs, actor, arguments)
        if found is None:
            raise looking.no_job(jobs, actor, arguments)
        return found

    def refute_enqueued(self, actor: Actor | str, /, **arguments: Any) -> None:
        """Fail if a job of the actor with matching arguments was enqueued."""
        __tracebackhide__ = True
        found = looking.matching_job(self.enqueued, actor, arguments)
        if found is not None:
            raise AssertionError(f"was enqueued, and must not have been: {found}")

    def assert_published(self, topic: str, /, *, type: str | None = None, **data: Any) -> Published:  # noqa: A002
        """Fail unless an event with a matching payload was published; return the first.

        Args:
            topic: the topic of the event.
            type: CloudEvents ``type``; None matches any type.
            data: expected keys of the payload; other keys may have any value.
        """
        __tracebackhide__ = True
        events = self.published
        found = looking.matching_event(events, topic, type, data)
        if found is None:
            raise looking.no_event(events, topic, type, data)
        return found

    def refute_published(self, topic: str, /, *, type: str | None = None, **data: Any) -> None:  # noqa: A002
        """Fail if an event with a matching payload was published."""
        __tracebackhide__ = True
        found = looking.matching_event(self.published, topic, type, data)
        if found is not None:
            raise AssertionError(f"was published, and must not have been: {found}")

    def assert_dead(self, what: Any = None, *, error: str = "") -> DeadLetter:
        """Fail unless a dead letter matches; return the newest one that does.

        Args:
            what: actor or handler, or its name; None matches any.
            error: a part of the dead letter's error text.
        """
        __tracebackhide__ = True
        name = what if what is None or isinstance(what, str) else what.name
        letters = self.dead
        for letter in letters:
            if name in (None, letter.what) and error in letter.error:
                return letter
        there = [f"  {each.id} of {each.what}: {each.error}" for each in letters]
        wanted = f"dead letter of {name}" if name else "dead letter"
        because = f" because of {error!r}" if error else ""
        raise AssertionError("\n".join([f"there is no {wanted}{because}", *(there or ["  none"])]))

    def refute_dead(self) -> None:
        """Fail if there are dead letters."""
        __tracebackhide__ = True
        letters = [f"  {each.id} of {each.what}: {each.error}" for each in self.dead]
        if letters:
            raise AssertionError("\n".join(["there are dead letters:", *letters]))
