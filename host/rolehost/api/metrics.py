"""Metrics of plugins. They are declared, so that two plugins cannot use the same name."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Literal

#: Prefix of the host's own metrics; no plugin may use it.
HOST_PREFIX = "rolehost_"

MetricKind = Literal["counter", "gauge", "histogram", "summary"]

#: Suffixes of the names of samples, by kind.
#: Source: OpenMetrics 1.0, "Metric types", https://prometheus.io/docs/specs/om/open_metrics_spec/
SUFFIXES: dict[MetricKind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": (),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "summary": ("_count", "_sum", "_created"),
}

#: Labels that the exposition formats use themselves.
_RESERVED_LABELS = {"histogram": "le", "summary": "quantile"}

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a plugin; declared in ``PluginInfo.metrics``. Since plugin API 2.

    Use counters and histograms with :meth:`Services.measure`. Gauges and summaries are for plugins
    that use another metrics library: if they are declared, the host checks their names too.

    Attributes:
        name: a name that Prometheus accepts; begin it with the name of the plugin. A counter may
            omit ``_total``.
        kind: ``counter``, ``gauge``, ``histogram`` or ``summary``.
        summary: one sentence that names the measured quantity, with the unit.
        labels: names of the labels. A label must have few values, so never use input of clients.
        buckets: upper bounds of a histogram, ascending. Empty: the recorder chooses them.

    Raises:
        ValueError: Prometheus does not accept a name, or the bounds are not ascending.

    Example:
        ``Metric(name="shop_orders", kind="counter", summary="Orders.", labels=("country",))``
    """

    name: str
    kind: MetricKind
    summary: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in SUFFIXES:
            raise ValueError(f"metric {self.name}: kind must be {' or '.join(SUFFIXES)}")
        if not _NAME.fullmatch(self.name) or not self.family:
            raise ValueError(f"metric {self.name!r}: Prometheus does not accept this name")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label == _RESERVED_LABELS.get(self.kind):
                raise ValueError(
                    f"metric {self.name}: {label!r} cannot be a label of a {self.kind}"
                )
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"metric {self.name}: a label is repeated")
        if self.buckets and self.kind != "histogram":
            raise ValueError(f"metric {self.name}: a {self.kind} has no buckets")
        if any(low >= high for low, high in itertools.pairwise(self.buckets)):
            raise ValueError(f"metric {self.name}: the buckets must be ascending")

    @property
    def family(self) -> str:
        """The name without ``_total``, which only the samples of a counter have."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name

    @property
    def series(self) -> tuple[str, ...]:
        """All its names at ``/metrics``: the name of the metric and the names of its samples."""
        return (self.family, *(self.family + suffix for suffix in SUFFIXES[self.kind]))
