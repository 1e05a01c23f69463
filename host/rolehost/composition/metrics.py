"""The plugins' own metrics: no two of them may take one name at ``/metrics``.

Prometheus refuses a scrape in which one name has two meanings, and then it has no metric at all.
Two counters of one name and one type would be no better: their sum says nothing of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rolehost.api.metrics import HOST_PREFIX, Metric
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded
from rolehost.composition.sites import line_of


def collect(plugin: Loaded, report: Report, into: Contributions) -> None:
    """Take what one plugin declares; what is no metric goes to the report."""
    given: Any = plugin.info.metrics
    if not isinstance(given, list | tuple):
        _wrong(plugin, type(given).__name__, "put it in a tuple", report)
        return
    place = line_of(plugin.module.rolehost_plugin)
    for number, metric in enumerate(given):
        if isinstance(metric, Metric):
            into.add(Owned(metric, plugin.found.name, place))
        else:
            got = f"{type(metric).__name__} at position {number}"
            _wrong(plugin, got, "make it a Metric(name=…, kind=…, summary=…)", report)


def check(metrics: Sequence[Owned[Metric]], report: Report) -> None:
    """Report names that are taken twice, and those that are the host's."""
    takers: dict[str, list[Owned[Metric]]] = {}
    for owned in metrics:
        if owned.value.name.startswith(HOST_PREFIX):
            _reserved(owned, report)
        for name in owned.value.series:
            takers.setdefault(name, []).append(owned)
    told: set[tuple[int, ...]] = set()
    for name, sites in takers.items():
        together = tuple(map(id, sites))
        # Who clashes in one name of its samples mostly does so in the others: it is one mistake.
        if len(sites) > 1 and together not in told:
            told.add(together)
            _clash(name, sites, report)


def described(metric: Metric) -> str:
    """Return what a metric is, in words: two that are the same are described alike."""
    labels = f" by {', '.join(metric.labels)}" if metric.labels else ""
    buckets = f" up to {', '.join(f'{each:g}' for each in metric.buckets)}"
    name = metric.series[1] if metric.kind == "counter" else metric.name
    return f"{metric.kind} {name}{labels}{buckets if metric.buckets else ''}"


def _clash(name: str, sites: Sequence[Owned[Metric]], report: Report) -> None:
    owners = sorted({owned.plugin for owned in sites})
    if len(owners) == 1:
        fix = "rename or remove all but one"
    else:
        fix = f"enable only one of {', '.join(owners)}, or rename the metric in all but one of them"
    report.add(
        "duplicate-metric",
        "; ".join(owned.site for owned in sites),
        f"the name {name} at /metrics is claimed {len(sites)} times",
        who=report.whose(owners),
        expected="one metric for each name, the names of its samples among them",
        got="; ".join(
            f"{described(owned.value)}, of {owned.plugin} at {owned.site}" for owned in sites
        ),
        fix=fix,
    )


def _reserved(owned: Owned[Metric], report: Report) -> None:
    report.add(
        "reserved-metric",
        owned.site,
        f"a plugin's metric cannot be named {owned.value.name}: the host's are named so",
        who=report.whose([owned.plugin]),
        expected=f"a name that does not begin with {HOST_PREFIX}",
        got=owned.value.name,
        fix=f"rename it, best after the plugin: {owned.plugin.replace('-', '_')}_"
        f"{owned.value.name.removeprefix(HOST_PREFIX)}",
    )


def _wrong(plugin: Loaded, got: str, fix: str, report: Report) -> None:
    report.add(
        "hook-result",
        f"{plugin.found.target}, rolehost_plugin",
        "PluginInfo.metrics holds something else than metrics",
        who=plugin.found.who,
        expected="a tuple of rolehost.api.Metric",
        got=got,
        fix=fix,
    )
