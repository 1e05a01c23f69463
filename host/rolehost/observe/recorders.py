"""Passes each job, event, request and measurement to the recorders of plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from rolehost.api.metrics import Metric
from rolehost.api.observe import Recorder
from rolehost.composition.model import Owned
from rolehost.errors import UndeclaredError

log = structlog.get_logger(__name__)


def _each(name: str) -> Callable[..., None]:
    """Return a method that calls the method ``name`` of each recorder that has it."""

    def call(self: Recorders, *values: Any) -> None:
        for recorder in self._recorders:
            try:
                method = getattr(recorder, name, None)
                if method is not None:
                    method(*values)
            except Exception:
                recorder_type = type(recorder).__qualname__
                log.exception("a recorder failed", recorder=f"{recorder_type}.{name}")

    return call


class Recorders:
    """Calls the added recorders in order; see :class:`rolehost.api.Recorder`.

    An error of a recorder is logged and does not reach the work. Add recorders at the start of a
    process, before work; the other methods are thread-safe.
    """

    __slots__ = ("_recorders",)

    def __init__(self) -> None:
        self._recorders: tuple[Recorder, ...] = ()

    def add(self, recorder: Recorder) -> None:
        """Add a recorder."""
        self._recorders = (*self._recorders, recorder)

    def checkpoint(self) -> Callable[[], None]:
        """Return a function that removes all recorders that are added after this call."""
        before = self._recorders

        def undo() -> None:
            self._recorders = before

        return undo

    def __bool__(self) -> bool:
        """Return whether there are recorders; without them, callers need not measure."""
        return bool(self._recorders)

    request = _each("request")
    job = _each("job")
    event = _each("event")
    relayed = _each("relayed")
    undeclared = _each("undeclared")
    cache = _each("cache")
    degraded = _each("degraded")
    measured = _each("measured")


class Measures:
    """Checks measurements of plugins' metrics and passes them to the recorders. Thread-safe.

    An undeclared metric is an error if ``strict``; otherwise it is counted and dropped.
    """

    def __init__(self, recorders: Recorders, *, strict: bool) -> None:
        self._recorders = recorders
        self._strict = strict
        self._warned: set[str] = set()

    def record(
        self,
        declared: Mapping[str, Owned[Metric]],
        metric: Metric,
        value: float,
        labels: tuple[str, ...],
    ) -> None:
        """Record a value of a metric, see :meth:`rolehost.api.Services.measure`.

        The metric must be declared: one name with two definitions makes a scrape invalid.
        """
        known = declared.get(metric.name)
        if known is None or (known.value is not metric and known.value != metric):
            self._undeclared(metric)
            return
        if metric.kind not in ("counter", "histogram"):
            raise TypeError(f"the host cannot measure the {metric.kind} {metric.name}")
        if len(labels) != len(metric.labels):
            raise ValueError(
                f"{metric.name} has the labels ({', '.join(metric.labels)}), but got"
                f" {len(labels)} values"
            )
        self._recorders.measured(metric, value, labels)

    def _undeclared(self, metric: Metric) -> None:
        if self._strict:
            raise UndeclaredError(
                f"no enabled plugin declares the metric {metric.name!r} as it is measured; add it"
                " to PluginInfo.metrics"
            )
        self._recorders.undeclared("metric", metric.name)
        if metric.name not in self._warned:
            self._warned.add(metric.name)
            log.warning("undeclared", kind="metric", name=metric.name, add_to="PluginInfo.metrics")
