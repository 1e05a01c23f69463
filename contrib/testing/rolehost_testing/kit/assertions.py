"""What has happened in a host: lists, and assertions that say what was there instead."""

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
    """The part of a host that looks back; it changes nothing."""

    composition: Composition
    _processes: Processes
    _world: World

    @property
    def metrics(self) -> Metrics:
        """What the host's processes have told recorders, counted."""
        return self._processes.metrics

    @property
    def enqueued(self) -> list[Enqueued]:
        """Every durable job in the database, whatever has become of it, oldest first."""
        with self._processes.within("command") as services:
            return looking.enqueued(services.database)

    @property
    def published(self) -> list[Published]:
        """Every event that a unit of work published in this world, oldest first."""
        with self._processes.within("command") as services:
            if "database" in self.composition.backends:
                note(services.delivery, self._world.published)
        return looking.published(list(self._world.published.values()))

    @property
    def dead(self) -> list[DeadLetter]:
        """Dead letters: jobs, events and ephemeral messages that were given up, newest first."""
        kinds = self.composition.backends
        with self._processes.within("command") as services:
            found = deadletters.listing(services.database) if "database" in kinds else []
            if "queue" in kinds:
                found += deadletters.list_messages(services.queue)
        return sorted(found, key=lambda letter: -letter.died_at)

    def assert_enqueued(self, actor: Actor | str, /, **arguments: Any) -> Enqueued:
        """Fail unless a job of the actor was enqueued whose arguments match; return the first.

        Arguments that are not named may be anything, and so may keys of mappings within them.
        What has become of the job does not matter; its ``state`` tells.
        """
        __tracebackhide__ = True
        jobs = self.enqueued
        found = looking.matching_job(jobs, actor, arguments)
        if found is None:
            raise looking.no_job(jobs, actor, arguments)
        return found

    def refute_enqueued(self, actor: Actor | str, /, **arguments: Any) -> None:
        """Fail if a job of the actor was enqueued whose arguments match."""
        __tracebackhide__ = True
        found = looking.matching_job(self.enqueued, actor, arguments)
        if found is not None:
            raise AssertionError(f"was enqueued, and must not have been: {found}")

    def assert_published(self, topic: str, /, *, type: str | None = None, **data: Any) -> Published:  # noqa: A002
        """Fail unless an event was published whose payload matches; return the first.

        Args:
            topic: where to.
            type: CloudEvents ``type``; None is any.
            data: keys of the payload; others may be anything.
        """
        __tracebackhide__ = True
        events = self.published
        found = looking.matching_event(events, topic, type, data)
        if found is None:
            raise looking.no_event(events, topic, type, data)
        return found

    def refute_published(self, topic: str, /, *, type: str | None = None, **data: Any) -> None:  # noqa: A002
        """Fail if an event was published whose payload matches."""
        __tracebackhide__ = True
        found = looking.matching_event(self.published, topic, type, data)
        if found is not None:
            raise AssertionError(f"was published, and must not have been: {found}")

    def assert_dead(self, what: Any = None, *, error: str = "") -> DeadLetter:
        """Fail unless there is a dead letter; return the newest that matches.

        Args:
            what: actor or handler, or its name; None is any.
            error: a part of the text of why it was given up.
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
        """Fail if there is any dead letter."""
        __tracebackhide__ = True
        letters = [f"  {each.id} of {each.what}: {each.error}" for each in self.dead]
        if letters:
            raise AssertionError("\n".join(["there are dead letters:", *letters]))
