"""What plugins tell of their own metrics, on its way to the recorders."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from rolehost.api.metrics import Metric
from rolehost.composition.model import Owned
from rolehost.errors import UndeclaredError
from rolehost.observe.recorders import Recorders

log = structlog.get_logger(__name__)


class Measures:
    """Hands what is measured to the recorders, once it is seen to be declared. Thread-safe.

    Args:
        recorders: of the process.
        strict: refuse what is undeclared instead of counting it.
    """

    def __init__(self, recorders: Recorders, *, strict: bool) -> None:
        self._recorders = recorders
        self._strict = strict
        self._warned: set[str] = set()

    def tell(
        self,
        declared: Mapping[str, Owned[Metric]],
        metric: Metric,
        value: float,
        labels: tuple[str, ...],
    ) -> None:
        """Tell the recorders; see :meth:`rolehost.api.Services.measure`.

        Args:
            declared: the metrics of the enabled plugins, by name.
        """
        known = declared.get(metric.name)
        if known is None or (known.value is not metric and known.value != metric):
            self._undeclared(metric)
            return
        if metric.kind not in ("counter", "histogram"):
            raise TypeError(f"the {metric.kind} {metric.name} cannot be measured by the host")
        if len(labels) != len(metric.labels):
            raise ValueError(
                f"{metric.name} has the labels ({', '.join(metric.labels)}), and was given"
                f" {len(labels)} values"
            )
        if self._recorders:
            self._recorders.measured(metric, value, labels)

    def _undeclared(self, metric: Metric) -> None:
        """Refuse, or count and drop: one name with two meanings would spoil a whole scrape."""
        if self._strict:
            raise UndeclaredError(
                f"metric {metric.name!r} is in no enabled plugin's PluginInfo.metrics as it is"
                " measured; add it there"
            )
        self._recorders.undeclared("metric", metric.name)
        if metric.name not in self._warned:
            self._warned.add(metric.name)
            log.warning("undeclared", kind="metric", name=metric.name, add_to="PluginInfo.metrics")
