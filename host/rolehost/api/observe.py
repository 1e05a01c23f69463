"""Observation of the host's work: recorders for finished work, statistics for current numbers."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Recorder(Protocol):
    """Receives one call for each finished piece of work; added with ``ProcessContext.record``.

    The methods must be fast and thread-safe, and must not raise exceptions. All times are in
    seconds. Two methods are optional, since plugin API 2: ``degraded(plugin: str)`` is called after
    the start for each plugin that failed and was left out;
    ``measured(metric: Metric, value: float, labels: tuple[str, ...])`` is called for the plugins'
    own metrics, see :meth:`Services.measure`.
    """

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is the template of the route; empty if none matched."""

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """An attempt of a job ended.

        Args:
            actor: name of the actor.
            outcome: ``completed``, ``retrying``, ``snoozed``, ``dead``, ``cancelled``,
                ``expired``, ``interrupted`` or ``lost`` (another process has the lease).
            waited: seconds from the time at which the job could run to the start of the attempt;
                0.0 if the actor is ephemeral.
            ran: seconds from start to end of the attempt.
        """

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """An attempt to handle an event ended.

        Args:
            topic: the topic.
            group: the consumer group.
            outcome: ``handled``, ``duplicate`` or ``dead``; ``parked``: it failed and will be
                retried, or waits for an earlier event of its key; ``retried``: it failed again.
            age: seconds since the event was published.
            ran: seconds from start to end.
        """

    def relayed(self, count: int, age: float) -> None:
        """``count`` events were relayed to the stream; the oldest was ``age`` seconds old."""

    def undeclared(self, kind: str, name: str) -> None:
        """A plugin used an actor, a topic or a metric that no plugin declares.

        Args:
            kind: ``actor``, ``topic`` or ``metric``.
            name: its name.
        """

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """Values of the cache were read or written.

        Args:
            namespace: the namespace of the values.
            outcome: ``hit``: found. ``stale``: found and used, although it is too old. ``miss``:
                not found. ``discarded``: found with another format or type; also counted as
                ``miss``. ``error``: the call failed; a value that was not read is also counted as
                ``miss``. ``computed``: computed by
                :meth:`~rolehost.caching.Caching.get_or_compute`. ``dropped``: a write or a deletion
                was not done.
            count: number of values.
        """


class QueueStatistics(msgspec.Struct, frozen=True):
    """The unfinished jobs of one queue in one state.

    Attributes:
        queue: name of the queue.
        state: ``available``, ``claimed``, ``retrying``, ``running`` or ``scheduled``.
        count: number of jobs.
        oldest: seconds since the oldest job that can run now became ready; 0.0 if no job can run.
            Of the limited jobs of an actor, the first hundred that were enqueued are looked at.
    """

    queue: str
    state: str
    count: int
    oldest: float


class LagStatistics(msgspec.Struct, frozen=True):
    """The lag of one consumer group on one topic.

    Attributes:
        topic: name of the topic.
        group: name of the consumer group.
        records: published records of all partitions that the group has not committed.
    """

    topic: str
    group: str
    records: int


class ProcessStatistics(msgspec.Struct, frozen=True):
    """The processes of one role.

    Attributes:
        role: the role.
        alive: processes of the fleet that renew their lease; 0 without a database.
        restarts: number of dead processes that the supervisor of this deployment has replaced
            since the supervisor started. A reload does not count.
        hangs: number of hung processes that the supervisor has replaced since it started.
        stuck: number of processes that were replaced because of a stuck job.
    """

    role: str
    alive: int
    restarts: int
    hangs: int = 0
    stuck: int = 0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the deployment at one moment.

    Without a database, only ``dead_messages`` and ``processes`` have numbers.

    Attributes:
        queues: unfinished jobs by queue and state, sorted; a state without jobs has 0.
        outbox_count: events that are committed and not yet in the stream.
        outbox_age: seconds since the oldest of these events was committed; 0.0 without such events.
        dead_jobs: jobs that are dead letters.
        dead_events: events that are dead letters.
        parked_events: events that failed and wait for their next attempt, and later events of their
            keys.
        dead_messages: ephemeral messages that are dead letters. None: the deployment has no
            ephemeral actors, or its queue cannot count them.
        lags: lags by topic and group of this deployment's handlers, sorted; empty while the stream
            is unavailable.
        processes: processes by role, sorted.
    """

    queues: tuple[QueueStatistics, ...] = ()
    outbox_count: int = 0
    outbox_age: float = 0.0
    dead_jobs: int = 0
    dead_events: int = 0
    parked_events: int = 0
    dead_messages: int | None = None
    lags: tuple[LagStatistics, ...] = ()
    processes: tuple[ProcessStatistics, ...] = ()
