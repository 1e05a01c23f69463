"""Records the work of the host in metrics that all processes of the deployment share."""

from __future__ import annotations

from pathlib import Path

from rolehost.api import Metric

from rolehost_ops.tally import Cell, Distribution, Family, Tally

#: Label of requests that match no route template.
UNMATCHED = "(unmatched)"

#: Label for further values after a label has reached its maximum number of values.
OTHER = "(other)"

#: Maximum number of names in ``rolehost_undeclared_total`` and ``rolehost_cache_values_total``.
LIMIT = 100

#: Maximum number of label combinations of a plugin's metric; all further combinations share one.
MOST = 1000

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)

#: Upper bounds in seconds of histograms: for requests, for background work, for waiting times.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RUN_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3600)
WAIT_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21600)

_HTTP, _EVENT = ("method", "route", "status"), ("topic", "group")

REQUESTS = Family("rolehost_http_requests", "Requests answered.", _HTTP)
DURATION = Family(
    "rolehost_http_request_duration_seconds",
    "Time from a request's arrival to the end of its answer.",
    _HTTP,
    REQUEST_BUCKETS,
)
JOBS = Family("rolehost_jobs", "Ended attempts at jobs.", ("actor", "outcome"))
JOB_WAIT = Family(
    "rolehost_job_wait_seconds",
    "Time from when a job could run to its start.",
    ("actor",),
    WAIT_BUCKETS,
)
JOB_RUN = Family(
    "rolehost_job_run_seconds", "Time that an attempt at a job ran.", ("actor",), RUN_BUCKETS
)
EVENTS = Family("rolehost_events", "Ended handlings of events.", (*_EVENT, "outcome"))
EVENT_AGE = Family(
    "rolehost_event_age_seconds",
    "Time from an event's publication to the end of its handling.",
    _EVENT,
    WAIT_BUCKETS,
)
EVENT_RUN = Family("rolehost_event_run_seconds", "Time that a handler ran.", _EVENT, RUN_BUCKETS)
RELAYED = Family("rolehost_outbox_relayed", "Events that left the outbox.")
RELAY_AGE = Family(
    "rolehost_outbox_relay_age_seconds",
    "Age of the oldest event of each batch that left the outbox.",
    buckets=WAIT_BUCKETS,
)
UNDECLARED = Family(
    "rolehost_undeclared",
    "Jobs enqueued, events published and metrics measured that no enabled plugin declares.",
    ("kind", "name"),
)
CACHE = Family(
    "rolehost_cache_values",
    "Cache operations by outcome: a value was read, was computed, or could not be written.",
    ("namespace", "outcome"),
)


DEGRADED = Family(
    "rolehost_plugin_degraded",
    "1 for a plugin that failed and that a living process runs without.",
    ("plugin",),
)


class MetricsRecorder:
    """A :class:`rolehost.api.Recorder`; calls after :meth:`close` have no effect.

    The cells of each combination of labels are looked up once and cached.

    Args:
        directory: directory of the deployment's metric files.
    """

    def __init__(self, directory: Path) -> None:
        self._tally = tally = Tally(directory)
        self._relayed = tally.counter(RELAYED)
        self._relay_age = tally.histogram(RELAY_AGE)
        self._http: dict[tuple[str, str, int], tuple[Cell, Distribution]] = {}
        self._jobs: dict[tuple[str, str], tuple[Cell, Distribution, Distribution]] = {}
        self._events: dict[tuple[str, str, str], tuple[Cell, Distribution, Distribution]] = {}
        self._undeclared: set[tuple[str, str]] = set()
        self._cache: dict[tuple[str, str], Cell] = {}
        self._own: dict[str, dict[tuple[str, ...], Cell | Distribution]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and observe its duration."""
        key = (method, route, status // 100)
        with self._tally.lock:
            if not self._tally.closed:
                count, duration = self._http.get(key) or self._bind_request(key)
                count.add(1.0)
                duration.add(seconds)

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """Count an attempt at a job and observe how long it waited and ran."""
        key = (actor, outcome)
        with self._tally.lock:
            if not self._tally.closed:
                count, wait, run = self._jobs.get(key) or self._bind_job(key)
                count.add(1.0)
                wait.add(waited)
                run.add(ran)

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """Count the handling of an event and observe the event's age and the handler's time."""
        key = (topic, group, outcome)
        with self._tally.lock:
            if not self._tally.closed:
                count, ages, run = self._events.get(key) or self._bind_event(key)
                count.add(1.0)
                ages.add(age)
                run.add(ran)

    def relayed(self, count: int, age: float) -> None:
        """Count the events of a relayed outbox batch and observe the age of the oldest one."""
        with self._tally.lock:
            if not self._tally.closed:
                self._relayed.add(count)
                self._relay_age.add(age)

    def undeclared(self, kind: str, name: str) -> None:
        """Count a use of an undeclared name of a kind; names above the limit share a label."""
        key = (kind, name)
        with self._tally.lock:
            if self._tally.closed:
                return
            if key not in self._undeclared and len(self._undeclared) >= LIMIT:
                key = (kind, OTHER)
            self._undeclared.add(key)
            self._tally.counter(UNDECLARED, *key).add(1.0)

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """Count outcomes of cache operations; namespaces above the limit share a label."""
        key = (namespace, outcome)
        with self._tally.lock:
            if self._tally.closed:
                return
            cell = self._cache.get(key)
            if cell is None:
                known = {name for name, _ in self._cache}
                if namespace not in known and len(known) >= LIMIT:
                    key = (OTHER, outcome)
                cell = self._cache[key] = self._tally.counter(CACHE, *key)
            cell.add(count)

    def measured(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Add to a plugin's counter, or observe a value in its histogram."""
        with self._tally.lock:
            if self._tally.closed:
                return
            known = self._own.setdefault(metric.name, {})
            cell = known.get(labels)
            if cell is None:
                if len(known) >= MOST:
                    labels = (OTHER,) * len(labels)
                cell = known[labels] = self._bind_own(metric, labels)
            cell.add(value)

    def degraded(self, plugin: str) -> None:
        """Record that a plugin failed and this process runs without it."""
        with self._tally.lock:
            if not self._tally.closed:
                self._tally.mark(DEGRADED, plugin)

    def close(self) -> None:
        """Close the files of this process. Idempotent."""
        self._tally.close()

    def _bind_own(self, metric: Metric, labels: tuple[str, ...]) -> Cell | Distribution:
        if metric.kind == "counter":
            family = Family(metric.family, metric.summary, metric.labels)
            return self._tally.counter(family, *labels)
        buckets = metric.buckets or REQUEST_BUCKETS
        family = Family(metric.name, metric.summary, metric.labels, buckets)
        return self._tally.histogram(family, *labels)

    def _bind_request(self, key: tuple[str, str, int]) -> tuple[Cell, Distribution]:
        method, route, hundreds = key
        known = method in METHODS
        labels = (method if known else OTHER, route or UNMATCHED, f"{hundreds}xx")
        cells = (self._tally.counter(REQUESTS, *labels), self._tally.histogram(DURATION, *labels))
        # Clients can send any method, so unknown methods are not cached.
        if known:
            self._http[key] = cells
        return cells

    def _bind_job(self, key: tuple[str, str]) -> tuple[Cell, Distribution, Distribution]:
        actor, outcome = key
        cells = self._jobs[key] = (
            self._tally.counter(JOBS, actor, outcome),
            self._tally.histogram(JOB_WAIT, actor),
            self._tally.histogram(JOB_RUN, actor),
        )
        return cells

    def _bind_event(self, key: tuple[str, str, str]) -> tuple[Cell, Distribution, Distribution]:
        topic, group, outcome = key
        cells = self._events[key] = (
            self._tally.counter(EVENTS, topic, group, outcome),
            self._tally.histogram(EVENT_AGE, topic, group),
            self._tally.histogram(EVENT_RUN, topic, group),
        )
        return cells
