"""Backlog, failures and slow jobs of a partition do not reach others; limits always hold."""

from __future__ import annotations

import statistics
from typing import Any

from tests.proofs import claim_log, isolation_fairness, isolation_limits
from tests.proofs.kit import Figures, Options
from tests.proofs.ledgers import ledgers

PROMISE = (
    "On SQLite and PostgreSQL, beside a partition with 100,000 waiting jobs, one of failing and"
    " one of slow jobs, the p99 of the others is at most twice and their throughput at least 0.9"
    " of what they have alone; in 100 kills, freezes and replays no limit of an actor, a queue or a"
    " partition is exceeded by the database's own times"
)
DURATION = "about 10 min; --short: 1 min"

#: Maximum ratio of the 99th percentiles, and minimum ratio of the throughputs. A short proof has
#: few samples: a lower ratio of throughputs and a 99th percentile below FAST ms are good enough.
SLOWER, SHARE = 2.0, 0.9
SHARE_SHORT, FAST = 0.5, 50.0

_PARAMETERS = {"postgres": claim_log.POSTGRES_PARAMETERS, "sqlite": {}}


def prove(options: Options) -> Figures:
    """Measure both parts on both engines, then say what does not hold."""
    fairness = isolation_fairness.SHORT if options.short else isolation_fairness.FULL
    limits = isolation_limits.SHORT if options.short else isolation_limits.FULL
    figures: dict[str, Any] = {}
    wrong: list[str] = []
    for engine, parameters in _PARAMETERS.items():
        with ledgers(engine, **parameters) as make:
            task = options.progress(len(fairness.order), f"{engine}: runs")
            alone, beside = isolation_fairness.measure(make, fairness, task)
            task = options.progress(limits.faults, f"{engine}: faults")
            found = isolation_limits.measure(make, limits, options, task)
        found |= {
            "median_alone_ms": round(statistics.median(alone.waited), 1),
            "median_beside_ms": round(statistics.median(beside.waited), 1),
            "p99_alone_ms": round(alone.p99, 1),
            "p99_beside_ms": round(beside.p99, 1),
            "throughput_alone": round(alone.rate),
            "throughput_ratio": round(beside.rate / alone.rate, 3),
        }
        wrong += [f"{engine}: {each}" for each in _wrong(found, options.short)]
        figures |= {f"{engine}_{name}": value for name, value in found.items()}
    assert not wrong, f"{'; '.join(wrong)}: {figures}"
    return figures


def _wrong(found: dict[str, Any], short: bool) -> list[str]:
    """Return what does not hold on an engine."""
    must_be_zero = ("lost", "overlapping_runs", "disordered_runs")
    excesses = (name for name in found if name.startswith("excess_"))
    wrong = [f"{name} {found[name]}" for name in (*must_be_zero, *excesses) if found[name]]
    longest = SLOWER * found["p99_alone_ms"]
    if found["p99_beside_ms"] > (max(longest, FAST) if short else longest):
        wrong.append(f"the p99 of others is {found['p99_beside_ms']} ms")
    if found["throughput_ratio"] < (SHARE_SHORT if short else SHARE):
        wrong.append(f"throughput of others {found['throughput_ratio']}")
    return wrong
