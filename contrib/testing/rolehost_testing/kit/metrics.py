"""Counts of the measurements that the processes of a host record."""

from __future__ import annotations

from collections import Counter, defaultdict

from rolehost.api import Metric


class Metrics:
    """Counts of all measurements; implements :class:`rolehost.api.Recorder`.

    Attributes:
        requests: method, route template and status → number of requests.
        jobs: actor and outcome → number of attempts.
        events: topic, group and outcome → number of events.
        cached: namespace and outcome → number of cache values.
        own: name of a plugin's metric and its label values → the measured values.
        relayed_count: number of events relayed from the outbox to the stream.
        last_job: outcome of the last attempt; empty before the first one.
        outcomes: outcomes of events, in order.
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
        """Count an attempt of a job."""
        del waited, ran
        self.jobs[actor, outcome] += 1
        self.last_job = outcome

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """Count a handled event."""
        del age, ran
        self.events[topic, group, outcome] += 1
        self.outcomes.append(outcome)

    def relayed(self, count: int, age: float) -> None:
        """Count events that were relayed from the outbox."""
        del age
        self.relayed_count += count

    def undeclared(self, kind: str, name: str) -> None:
        """Do nothing: the host of a test rejects undeclared names."""

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """Count cache values."""
        self.cached[namespace, outcome] += count

    def measured(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Store a measurement of a plugin's metric."""
        self.own[metric.name, *labels].append(value)
