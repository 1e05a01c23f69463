"""The body of ``/metrics``: the metric files of all processes, and the deployment's statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from rolehost.api import Statistics

from rolehost_ops.directory import MetricFiles

#: Encodes a registry in one of the text formats.
Encoder = Callable[[CollectorRegistry], bytes]


def render(files: MetricFiles, statistics: Statistics | None, encode: Encoder) -> bytes:
    """Return the body of a scrape.

    Args:
        files: metric files of the deployment.
        statistics: statistics of the deployment, or None if they are not available.
        encode: the encoder for the format that the client accepts.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatisticsCollector(statistics))
    registry.register(FilesCollector(files))
    with files.settled():
        return encode(registry)


class FilesCollector(Collector):
    """The counts of all processes, including dead ones."""

    def __init__(self, files: MetricFiles) -> None:
        self._files = files

    def collect(self) -> Iterable[Metric]:
        """Return the sums of all files."""
        names = [str(file) for file in self._files.all()]
        merged: Iterable[Metric] = MultiProcessCollector.merge(names)  # type: ignore[no-untyped-call]
        return merged


class StatisticsCollector(Collector):
    """The gauges whose values are read at the time of the scrape."""

    def __init__(self, statistics: Statistics | None) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        """Return the metric families; without statistics, only ``rolehost_statistics_success``."""
        statistics = self._statistics
        yield GaugeMetricFamily(
            "rolehost_statistics_success",
            "Whether the figures from the database could be read for this scrape.",
            value=0 if statistics is None else 1,
        )
        if statistics is not None:
            yield from _queues(statistics)
            yield from _outbox(statistics)
            yield from _dead_letters(statistics)
            yield from _lags(statistics)
            yield from _processes(statistics)


def _queues(statistics: Statistics) -> Iterable[Metric]:
    labels = ("queue", "state")
    jobs = GaugeMetricFamily("rolehost_queue_jobs", "Unfinished jobs.", labels=labels)
    oldest = GaugeMetricFamily(
        "rolehost_queue_oldest_ready_seconds",
        "Time since the oldest job that could run became ready.",
        labels=labels,
    )
    for queue in statistics.queues:
        jobs.add_metric((queue.queue, queue.state), queue.count)
        oldest.add_metric((queue.queue, queue.state), queue.oldest)
    return jobs, oldest


def _outbox(statistics: Statistics) -> Iterable[Metric]:
    return (
        GaugeMetricFamily(
            "rolehost_outbox_events",
            "Events committed and not yet handed to the stream.",
            value=statistics.outbox_count,
        ),
        GaugeMetricFamily(
            "rolehost_outbox_oldest_seconds",
            "Time since the oldest event not yet handed to the stream was committed.",
            value=statistics.outbox_age,
        ),
    )


def _dead_letters(statistics: Statistics) -> Iterable[Metric]:
    dead = GaugeMetricFamily("rolehost_dead_letters", "Dead letters kept.", labels=("kind",))
    dead.add_metric(("event",), statistics.dead_events)
    dead.add_metric(("job",), statistics.dead_jobs)
    if statistics.dead_messages is not None:
        dead.add_metric(("message",), statistics.dead_messages)
    parked = GaugeMetricFamily(
        "rolehost_parked_events",
        "Events that failed and wait for a retry, and later events of their keys.",
        value=statistics.parked_events,
    )
    return dead, parked


def _lags(statistics: Statistics) -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "rolehost_event_lag_records",
        "Records published and not yet committed by the consumer group.",
        labels=("topic", "group"),
    )
    for lag in statistics.lags:
        family.add_metric((lag.topic, lag.group), lag.records)
    return (family,)


def _processes(statistics: Statistics) -> Iterable[Metric]:
    alive = GaugeMetricFamily("rolehost_processes", "Living processes.", labels=("role",))
    restarts = CounterMetricFamily(
        "rolehost_process_restarts",
        "Processes that died, made no progress or had a stuck job, and were replaced.",
        labels=("role", "reason"),
    )
    for process in statistics.processes:
        alive.add_metric((process.role,), process.alive)
        restarts.add_metric((process.role, "death"), process.restarts)
        restarts.add_metric((process.role, "hang"), process.hangs)
        restarts.add_metric((process.role, "stuck"), process.stuck)
    return alive, restarts
