"""What a plugin says of its own metrics: the names that it claims at ``/metrics``.

Declared, so that two plugins that mean different things by one name are found before anything
runs; told with :meth:`rolehost.api.Services.measure`, to whatever records metrics here.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Literal

#: What the names of the host's own metrics begin with; no plugin may use it.
HOST_PREFIX = "rolehost_"

MetricKind = Literal["counter", "gauge", "histogram", "summary"]

#: What stands after a metric's name in the names of its samples, by kind.
#: Source: OpenMetrics 1.0, "Metric types", https://prometheus.io/docs/specs/om/open_metrics_spec/
SUFFIXES: dict[MetricKind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": (),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "summary": ("_count", "_sum", "_created"),
}

#: Labels that the formats use themselves.
_RESERVED_LABELS = {"histogram": "le", "summary": "quantile"}

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a plugin, in its ``PluginInfo.metrics``. Since plugin API 2.

    Counters and histograms are told with :meth:`Services.measure`. Gauges and summaries are for
    plugins that make metrics with a library of their own: declared, they are compared with those
    of others.

    Attributes:
        name: as Prometheus has it, best begun with the plugin's; ``_total`` at the end of a
            counter's may be left out.
        kind: what it is.
        summary: what it counts or measures, one sentence, with its unit.
        labels: names of its labels. Their values must be few: never what a client sends.
        buckets: upper bounds of a histogram, rising; none leaves them to what records it.

    Raises:
        ValueError: a name that Prometheus does not take, or bounds that do not rise.
    """

    name: str
    kind: MetricKind
    summary: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in SUFFIXES:
            raise ValueError(f"metric {self.name}: kind is {' or '.join(SUFFIXES)}")
        if not _NAME.fullmatch(self.name) or not self.family:
            raise ValueError(f"metric {self.name!r}: Prometheus takes no such name")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label == _RESERVED_LABELS.get(self.kind):
                raise ValueError(
                    f"metric {self.name}: {label!r} cannot be a label of a {self.kind}"
                )
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"metric {self.name}: a label stands twice")
        if self.buckets and self.kind != "histogram":
            raise ValueError(f"metric {self.name}: a {self.kind} has no buckets")
        if any(low >= high for low, high in itertools.pairwise(self.buckets)):
            raise ValueError(f"metric {self.name}: its buckets do not rise")

    @property
    def family(self) -> str:
        """The name without the ``_total`` of a counter, which its samples have."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name

    @property
    def series(self) -> tuple[str, ...]:
        """Every name that it takes at ``/metrics``: its own, and those of its samples."""
        return (self.family, *(self.family + suffix for suffix in SUFFIXES[self.kind]))
