"""Records the host's work in Prometheus metrics that all processes of the deployment share.

Importing this module imports prometheus-client, whose values are made for several processes
only when ``PROMETHEUS_MULTIPROC_DIR`` is set before: :func:`open_recorder` sees to that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, values

#: Label of everything that no route template matched.
UNMATCHED = "(unmatched)"

#: Label of what comes after the bound of a label's values was reached.
OTHER = "(other)"

#: Most different values of the labels that no declaration bounds.
LIMIT = 100

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)

#: Upper bounds in seconds: of requests; of work in the background; of waiting for it.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RUN_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3600)
WAIT_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21600)

_Observe = Callable[[float], None]
_Count = Callable[..., None]


def open_recorder(directory: Path) -> MetricsRecorder:
    """Make the recorder of this process, which writes to files in ``directory``."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    # Another package may have imported prometheus-client before the variable was set: then
    # its values are those of a single process, and later metrics are given the right ones.
    if not values.ValueClass._multiprocess:
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    return MetricsRecorder()


class MetricsRecorder:
    """A :class:`rolehost.api.Recorder`.

    The methods of a metric's child are looked up once for each combination of labels and kept
    in a dict: looking a child up by its labels costs as much as counting.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()  # keeps the names from meeting those of other packages
        http = ("method", "route", "status")
        self._http_total = Counter(
            "rolehost_http_requests", "Requests answered.", http, registry=registry
        )
        self._http_seconds = Histogram(
            "rolehost_http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            http,
            registry=registry,
            buckets=REQUEST_BUCKETS,
        )
        self._jobs_total = Counter(
            "rolehost_jobs", "Attempts at jobs that ended.", ("actor", "outcome"), registry=registry
        )
        self._job_wait = Histogram(
            "rolehost_job_wait_seconds",
            "Time from when a job could run to its start.",
            ("actor",),
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._job_run = Histogram(
            "rolehost_job_run_seconds",
            "Time that an attempt at a job ran.",
            ("actor",),
            registry=registry,
            buckets=RUN_BUCKETS,
        )
        group = ("topic", "group")
        self._events_total = Counter(
            "rolehost_events",
            "Handlings of events that ended.",
            (*group, "outcome"),
            registry=registry,
        )
        self._event_age = Histogram(
            "rolehost_event_age_seconds",
            "Time from an event's publication to the end of its handling.",
            group,
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._event_run = Histogram(
            "rolehost_event_run_seconds",
            "Time that a handler ran.",
            group,
            registry=registry,
            buckets=RUN_BUCKETS,
        )
        self._relayed_total = Counter(
            "rolehost_outbox_relayed", "Events that left the outbox.", registry=registry
        )
        self._relay_age = Histogram(
            "rolehost_outbox_relay_age_seconds",
            "Age of the oldest event of each batch that left the outbox.",
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._undeclared_total = Counter(
            "rolehost_undeclared",
            "Jobs enqueued and events published that no enabled plugin declares.",
            ("kind", "name"),
            registry=registry,
        )
        self._http: dict[tuple[str, str, int], tuple[_Count, _Observe]] = {}
        self._jobs: dict[tuple[str, str], tuple[_Count, _Observe, _Observe]] = {}
        self._events: dict[tuple[str, str, str], tuple[_Count, _Observe, _Observe]] = {}
        self._undeclared: dict[tuple[str, str], _Count] = {}
        self._closed = False

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and observe its duration."""
        if self._closed:
            return
        key = (method, route, status // 100)
        child = self._http.get(key)
        if child is None:
            child = self._bind_request(key)
        count, observe = child
        count()
        observe(seconds)

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """Count an attempt at a job and observe how long it waited and ran."""
        if self._closed:
            return
        key = (actor, outcome)
        child = self._jobs.get(key)
        if child is None:
            child = self._jobs[key] = (
                self._jobs_total.labels(actor, outcome).inc,
                self._job_wait.labels(actor).observe,
                self._job_run.labels(actor).observe,
            )
        count, observe_wait, observe_run = child
        count()
        observe_wait(waited)
        observe_run(ran)

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """Count the handling of an event and observe the event's age and the run."""
        if self._closed:
            return
        key = (topic, group, outcome)
        child = self._events.get(key)
        if child is None:
            child = self._events[key] = (
                self._events_total.labels(topic, group, outcome).inc,
                self._event_age.labels(topic, group).observe,
                self._event_run.labels(topic, group).observe,
            )
        count, observe_age, observe_run = child
        count()
        observe_age(age)
        observe_run(ran)

    def relayed(self, count: int, age: float) -> None:
        """Count a batch that left the outbox and observe the age of its oldest event."""
        if self._closed:
            return
        self._relayed_total.inc(count)
        self._relay_age.observe(age)

    def undeclared(self, kind: str, name: str) -> None:
        """Count an undeclared enqueueing or publication; names beyond the limit as one."""
        if self._closed:
            return
        key = (kind, name)
        if key not in self._undeclared and len(self._undeclared) >= LIMIT:
            key = (kind, OTHER)
        count = self._undeclared.get(key)
        if count is None:
            count = self._undeclared[key] = self._undeclared_total.labels(*key).inc
        count()

    def close(self) -> None:
        """Close the files of this process; what is recorded later is dropped. Idempotent."""
        if not self._closed:
            self._closed = True
            values.ValueClass.close_all_files()

    def _bind_request(self, key: tuple[str, str, int]) -> tuple[_Count, _Observe]:
        method, route, hundreds = key
        labels = (
            method if method in METHODS else OTHER,
            route or UNMATCHED,
            f"{hundreds}xx",
        )
        child = (self._http_total.labels(*labels).inc, self._http_seconds.labels(*labels).observe)
        # A client may invent methods: they share a child, and the dict does not grow by them.
        if method in METHODS:
            self._http[key] = child
        return child
