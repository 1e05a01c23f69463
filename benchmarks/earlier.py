"""The host compared with an earlier commit of itself: is anything slower?

The earlier side runs the host, the plugins and the benchmark programs of :data:`COMMIT` with the
libraries that are installed now.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

from benchmarks import lone
from benchmarks.children import figures
from benchmarks.deployments import Place, free_port, migrate, place
from benchmarks.ledger import EFFECTS, PLAIN, SINGLE
from benchmarks.model import ROOT, Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Side, interleave
from benchmarks.postgres import ACTORS, EFFECTS_TABLE, Runs, execute, server

#: The last commit before limits and groups.
COMMIT = "83c37bed48b8402338c25fd0e379ebedfd79f1fd"

#: Jobs of one round on SQLite: enqueued one by one, run without an effect, run with one.
EMBEDDED = (500, 10_000, 2000)

#: Minimum ratio of rates, and of latencies: what a few rounds can tell from 1.
RATE, LATENCY = Goal(least=0.95), Goal(least=0.9)

#: A sample, its words, its unit and its goal.
Shown = Sequence[tuple[str, str, str, Goal | None]]

_DRAINED: Shown = (("drain", "", "/s", RATE), ("total", ", processes and sessions", "µs CPU", None))
_LATENCY: Shown = (("p50", ", median", "ms", None), ("p99", ", p99", "ms", LATENCY))
_ON_SQLITE: Shown = (
    ("plain", "no-op jobs run", "/s", RATE),
    ("effects", "jobs run, one effect row each", "/s", RATE),
    ("single", "jobs enqueued, one a transaction", "/s", RATE),
)

#: Folders of packages, see :func:`benchmarks.deployments.environment`.
Trees = tuple[Path, ...]

#: What the earlier side needs of its tree.
_PARTS = ("host", "migrations", "plugins", "contrib/testing", "benchmarks")

_SQLITE_EFFECTS = "CREATE TABLE effects (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)"


def run(bench: Bench) -> list[Figure]:
    """Measure rates and latencies of both, in turns."""
    trees = ((ROOT,), _earlier(bench.folder / "earlier"))
    found = _pair(bench, "SQLite: ", [_embedded(bench, tree) for tree in trees], _ON_SQLITE)
    with server() as url:
        sides = [Runs(bench, url, tree) for tree in trees]
        for what, actor, count in (
            ("no-op jobs run", "nothing", PLAIN),
            ("jobs run, one effect row each", "effect", EFFECTS),
        ):
            pair = [each.host(actor, count) for each in sides]
            found += _pair(bench, f"PostgreSQL: {what}", pair, _DRAINED)
        pair = [each.host_enqueues("enqueue", each.count(SINGLE)) for each in sides]
        shown: Shown = (("single", "", "/s", RATE),)
        found += _pair(bench, "PostgreSQL: jobs enqueued, one a transaction", pair, shown)
        with ExitStack() as stack:
            urls = [stack.enter_context(each.database()) for each in sides]
            found += _lone(bench, trees, "PostgreSQL", [{"url": each} for each in urls])
    files = [{"path": str(bench.folder / f"lone-{number}.db")} for number in range(len(trees))]
    return found + _lone(bench, trees, "SQLite", files)


def _pair(bench: Bench, what: str, sides: Sequence[Side], shown: Shown) -> list[Figure]:
    ours, bare = sides
    rounds = interleave(
        ours,
        bare,
        rounds=bench.rounds,
        step=bench.begin(bench.rounds, f"earlier: {what.strip(': ')}"),
        patience=bench.patience,
    )
    return [
        Figure(
            benchmark="earlier",
            what=f"{what}{words}, beside {COMMIT[:7]}",
            unit=unit,
            ours=rounds.ours[sample],
            bare=rounds.bare[sample],
            quiet=rounds.quiet,
            inverse=unit != "/s",
            goal=goal,
        )
        for sample, words, unit, goal in shown
    ]


def _embedded(bench: Bench, trees: Trees) -> Side:
    """Return jobs on SQLite, in a new file for each round."""
    counts = [str(bench.scaled(count, count // 10)) for count in EMBEDDED]
    label = "now" if trees == (ROOT,) else "then"
    numbers = itertools.count()

    def measure() -> dict[str, float]:
        folder = bench.folder / f"earlier-{label}-{next(numbers)}"
        made = place(
            folder,
            {"bench-actors": ACTORS},
            ["embedded"],
            trees,
            embedded={"path": str(folder / "bench.db")},
            log={"level": "warning"},
        )
        return figures("host_jobs", [str(made.file), *counts], made.folder, made.env)

    return measure


def _lone(
    bench: Bench, trees: Sequence[Trees], engine: str, settings: Sequence[Mapping[str, str]]
) -> list[Figure]:
    """Measure lone jobs and lone requests; the processes of both sides run all the time."""
    found = []
    with ExitStack() as stack:
        places = [
            _written(bench, tree, engine, each) for tree, each in zip(trees, settings, strict=True)
        ]
        sides = [stack.enter_context(lone.jobs(bench, made)) for made, _ in places]
        found += _pair(bench, f"{engine}: lone job, enqueue() called to start", sides, _LATENCY)
    with ExitStack() as stack:
        sides = [stack.enter_context(lone.requests(bench, *each)) for each in places]
        found += _pair(bench, f"{engine}: lone request that writes a row", sides, _LATENCY)
    return found


def _written(
    bench: Bench, trees: Trees, engine: str, settings: Mapping[str, str]
) -> tuple[Place, int]:
    """Write a deployment with jobs and a route, and its tables; return the port too."""
    port = free_port()
    folder = bench.folder / f"lone-{port}"
    plugin = {"PostgreSQL": "postgres", "SQLite": "embedded"}[engine]
    made = place(
        folder,
        {"bench-actors": ACTORS, "bench-rows": "bench_rows"},
        [plugin],
        trees,
        http={"bind": f"127.0.0.1:{port}", "access_log": False},
        log={"level": "warning"},
        **{plugin: settings},
    )
    folder.joinpath("site", "bench_rows.py").write_text(lone.ROUTE, "utf-8")
    migrate(made)
    if engine == "PostgreSQL":
        execute(settings["url"], EFFECTS_TABLE)
    else:
        with contextlib.closing(sqlite3.connect(settings["path"])) as connection:
            connection.execute(_SQLITE_EFFECTS)
    return made, port


def _earlier(folder: Path) -> Trees:
    """Write the tree of the earlier commit; return the folders of its packages.

    Raises:
        Unmeasured: this is not a clone of the repository with that commit.
    """
    made = subprocess.run(
        ["git", "archive", "--format=tar", COMMIT, *_PARTS],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise Unmeasured(f"git archive {COMMIT[:7]}: {made.stderr.decode(errors='replace')}")
    with tarfile.open(fileobj=BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # As in the wheel. Without it the installed package would give the migrations of today.
    folder.joinpath("migrations").rename(folder / "host" / "rolehost" / "migrations")
    plugins = sorted((folder / "plugins").iterdir())
    return (folder, folder / "host", *plugins, folder / "contrib" / "testing")
