"""What the processes of a host told of their work, counted."""

from __future__ import annotations

from collections import Counter, defaultdict

from rolehost.api import Metric


class Metrics:
    """Counts of everything that happened; implements :class:`rolehost.api.Recorder`.

    Attributes:
        requests: method, template of the route and status → how many.
        jobs: actor and outcome → how many.
        events: topic, group and outcome → how many.
        cached: namespace and outcome → how many.
        own: name of a plugin's metric and values of its labels → what was told of it.
        relayed_count: events that went from the outbox to the stream.
        last_job: outcome of the attempt that ended last; empty before any.
        outcomes: how events ended, in their order.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.jobs: Counter[tuple[str, str]] = Counter()
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.cached: Counter[tuple[str, str]] = Counter()
        self.own: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self.relayed_count = 0
        self.last_job = ""
        self.outcomes: list[str] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        del seconds
        self.requests[method, route, status] += 1

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """Count an attempt at a job."""
        del waited, ran
        self.jobs[actor, outcome] += 1
        self.last_job = outcome

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """Count an event that was handled."""
        del age, ran
        self.events[topic, group, outcome] += 1
        self.outcomes.append(outcome)

    def relayed(self, count: int, age: float) -> None:
        """Count events that left the outbox."""
        del age
        self.relayed_count += count

    def undeclared(self, kind: str, name: str) -> None:
        """Count nothing: a host of a test refuses the undeclared."""

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """Count values of the cache."""
        self.cached[namespace, outcome] += count

    def measured(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Keep what a plugin told of a metric of its own."""
        self.own[metric.name, *labels].append(value)
