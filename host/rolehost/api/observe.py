"""What the host tells about its work; a plugin that records it adds a :class:`Recorder`.

A recorder is told of what happens as it happens; :class:`Statistics` say how things stand
when they are asked for.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Recorder(Protocol):
    """Receives one call per finished piece of work. Must be cheap, thread-safe and not raise.

    One that has a method ``degraded(plugin: str)`` besides is told, after the start, of each
    plugin that failed and that the process goes on without; one that has
    ``measured(metric: Metric, value: float, labels: tuple[str, ...])`` is told of the plugins' own
    metrics, see :meth:`Services.measure`. Both since plugin API 2.
    """

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the template, empty when none matched."""

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """An attempt at a job ended.

        ``outcome`` is ``completed``, ``retrying``, ``snoozed``, ``dead``, ``cancelled``,
        ``interrupted`` or ``lost`` (its lease was taken); ``waited`` is the seconds from when
        it could run to its start, ``ran`` those of the attempt.
        """

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """A handler ended: ``handled``, ``duplicate``, ``retried`` or ``dead``; seconds."""

    def relayed(self, count: int, age: float) -> None:
        """Events left the outbox; ``age`` is that of the oldest of them, seconds."""

    def undeclared(self, kind: str, name: str) -> None:
        """A plugin enqueued (``actor``), published (``topic``) or measured (``metric``) what no
        plugin had declared.
        """

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """Something happened to so many values of a namespace of the cache.

        Looked for and found (``hit``), found too old but served (``stale``), absent
        (``miss``), there but of another format or type (``discarded``, and a ``miss``
        besides), not asked for because the cache is away (``error``, likewise). ``computed``
        by :meth:`~rolehost.caching.Caching.get_or_compute`; ``dropped``: not written.
        """


class QueueStatistics(msgspec.Struct, frozen=True):
    """The unfinished jobs of one queue in one state.

    Attributes:
        queue: name of the queue.
        state: a state of the ledger: ``available``, ``claimed``, ``retrying``, ``running`` or
            ``scheduled``.
        count: how many.
        oldest: seconds since the oldest of those that could run now became ready; 0.0 when
            none can.
    """

    queue: str
    state: str
    count: int
    oldest: float


class LagStatistics(msgspec.Struct, frozen=True):
    """How far one consumer group is behind on one topic.

    Attributes:
        topic: name of the topic.
        group: name of the consumer group.
        records: records published and not yet committed by the group, over all partitions.
    """

    topic: str
    group: str
    records: int


class ProcessStatistics(msgspec.Struct, frozen=True):
    """The processes of one role, by their presence rows.

    Attributes:
        role: the role.
        alive: how many renew their presence.
        restarts: how many that died this deployment's supervisor replaced since it started;
            what a reload replaces is not counted.
        hangs: how many that made no progress it replaced.
    """

    role: str
    alive: int
    restarts: int
    hangs: int = 0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How the deployment stands at one moment; without a database everything is empty.

    Attributes:
        queues: unfinished jobs by queue and state; sorted, with 0 where there are none.
        outbox_count: events committed and not yet handed to the stream.
        outbox_age: seconds since the oldest of them was committed; 0.0 when there is none.
        dead_jobs: jobs that are dead letters.
        dead_events: events that are dead letters.
        dead_messages: ephemeral messages that are dead letters; None: the deployment has no
            ephemeral actors, or its queue cannot be asked.
        lags: by topic and group of this deployment's handlers; sorted.
        processes: by role; sorted.
    """

    queues: tuple[QueueStatistics, ...] = ()
    outbox_count: int = 0
    outbox_age: float = 0.0
    dead_jobs: int = 0
    dead_events: int = 0
    dead_messages: int | None = None
    lags: tuple[LagStatistics, ...] = ()
    processes: tuple[ProcessStatistics, ...] = ()
