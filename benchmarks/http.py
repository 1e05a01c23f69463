"""The same route in the host and in bare Falcon, on the same server."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import serving
from benchmarks.children import processor_seconds
from benchmarks.load import Load
from benchmarks.model import Bench, Figure, Goal
from benchmarks.pairs import Rounds, Side, interleave
from benchmarks.sample import ORDER
from benchmarks.serving import URL, Server

#: New processes of both sides: the memory layout differs between starts, and this changes the
#: speed by a few per cent.
LAUNCHES = 3

#: Seconds of load in one round.
SECONDS = 2.0

Serve = Callable[[Path], AbstractContextManager[Server]]

#: Disables everything that the host adds by default.
_PLAIN = {"request_id": False, "access_log": False}


def plain(bench: Bench) -> list[Figure]:
    """Measure only the route on both sides."""
    return _pairs(
        bench,
        "http-plain",
        lambda folder: serving.host(folder, **_PLAIN),
        serving.falcon,
        [
            ("JSON GET, route alone", b"", Goal(least=0.97)),
            ("JSON POST, route alone", json.dumps(ORDER).encode(), Goal(least=0.97)),
        ],
    )


def usual(bench: Bench) -> list[Figure]:
    """Measure both sides with request ids, metrics, limits and the access log."""
    return _pairs(
        bench,
        "http-usual",
        lambda folder: serving.host(folder, installed=["ops"]),
        lambda folder: serving.falcon(folder, usual=True),
        [
            ("JSON GET with ids, metrics, limits, log", b"", Goal(least=1.0)),
            (
                "JSON POST with ids, metrics, limits, log",
                json.dumps(ORDER).encode(),
                Goal(least=1.0),
            ),
        ],
    )


def plugins(bench: Bench) -> list[Figure]:
    """Compare a host with a hundred more plugins to a host with the route's plugin only."""

    def serve(count: int) -> Serve:
        return lambda folder: serving.host(folder, installed=["embedded"], others=count, **_PLAIN)

    return _pairs(
        bench,
        "http-plugins",
        serve(100),
        serve(1),
        [("JSON GET, 100 plugins against 1", b"", Goal(least=0.98, most=1.02))],
    )


def _pairs(
    bench: Bench, name: str, ours: Serve, bare: Serve, kinds: list[tuple[str, bytes, Goal]]
) -> list[Figure]:
    launches = bench.scaled(LAUNCHES, 1)
    rounds = max(1, bench.rounds // launches)
    step = bench.begin(launches * rounds * len(kinds), name)
    measured = [Rounds() for _ in kinds]
    for launch in range(launches):
        folders = [bench.folder / f"{name}-{launch}-{side}" for side in ("host", "bare")]
        with ours(folders[0]) as first, bare(folders[1]) as second:
            for (_, body, _), into in zip(kinds, measured, strict=True):
                interleave(
                    _side(bench, first, body),
                    _side(bench, second, body),
                    rounds=rounds,
                    step=step,
                    patience=bench.patience,
                    into=into,
                )
    figures = []
    for (what, _, goal), each in zip(kinds, measured, strict=True):
        for key, unit, inverse in (("rate", "/s", False), ("cost", "µs CPU", True)):
            figures.append(
                Figure(
                    benchmark=name,
                    what=what,
                    unit=unit,
                    ours=each.ours[key],
                    bare=each.bare[key],
                    quiet=each.quiet,
                    inverse=inverse,
                    goal=goal if key == "rate" else None,
                )
            )
    return figures


def _side(bench: Bench, server: Server, body: bytes) -> Side:
    load = Load(server.port, URL, body)
    seconds = 1.0 if bench.short else SECONDS

    def measure() -> dict[str, float]:
        before = processor_seconds(server.child.pid)
        answered, took = load.run(seconds, bench.folder)
        used = processor_seconds(server.child.pid) - before
        return {"rate": answered / took, "cost": used / answered * 1e6}

    return measure
