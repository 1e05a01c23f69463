"""The cache on Redis and memcached, compared with the bare clients on the same server."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from rolehost_testing import services

from benchmarks.children import figures
from benchmarks.deployments import Place, environment, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Side, interleave

#: Calls of each kind in one round.
CALLS = 10_000

#: Minimum ratio to the rate of the bare client.
SHARE = Goal(least=0.9)

#: The figures to show: the name of the samples and a description.
_SHOWN = {
    "get": "storage, get",
    "set": "storage, set",
    "typed-get": "typed values in msgpack, get",
    "typed-set": "typed values in msgpack, set",
    "computed": "get_or_compute that finds its value",
}


def run(bench: Bench) -> list[Figure]:
    """Read and write 1,000 keys from one thread; a new process for each round, one server."""
    return [*_measure(bench, "redis"), *_measure(bench, "memcached")]


def _measure(bench: Bench, kind: str) -> list[Figure]:
    count = str(bench.scaled(CALLS, CALLS // 10))
    try:
        with services.start(kind) as server:
            address = server.url.removeprefix("memcached://").rstrip("/")
            rounds = interleave(
                _host(bench, kind, address, count),
                _bare(bench, kind, address, count),
                rounds=bench.rounds,
                step=bench.begin(bench.rounds, f"cache, {kind}"),
                patience=bench.patience,
            )
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing
    return [
        Figure(
            benchmark="cache",
            what=f"cache on {kind}: {what}",
            unit="/s",
            ours=rounds.ours[key],
            bare=rounds.bare[key],
            quiet=rounds.quiet,
            goal=SHARE,
        )
        for key, what in _SHOWN.items()
    ]


def _host(bench: Bench, kind: str, address: str, count: str) -> Side:
    number = itertools.count()

    def measure() -> dict[str, float]:
        made = _place(bench, f"cache-{kind}-{next(number)}", kind, address)
        return figures("host_cache", [str(made.file), count], made.folder, made.env)

    return measure


def _bare(bench: Bench, kind: str, address: str, count: str) -> Side:
    def measure() -> dict[str, float]:
        folder = bench.folder / f"cache-{kind}-bare"
        folder.mkdir(exist_ok=True)
        return figures("bare_cache", [kind, address, count], folder, environment(folder))

    return measure


def _place(bench: Bench, name: str, kind: str, address: str) -> Place:
    """Write a deployment that counts hits and misses, as a real service does."""
    folder = bench.folder / name
    sections: Mapping[str, Mapping[str, Any]] = {
        "redis": {"redis": {"url": address}},
        "memcached": {"memcached": {"servers": [address]}},
    }[kind]
    return place(
        folder,
        {"bench-cache": "benchmarks.programs.host_cache"},
        ["embedded", "ops", kind],
        embedded={"path": str(folder / "bench.db")},
        storage={"cache": kind},
        log={"level": "warning"},
        **sections,
    )
