"""No-op jobs on PostgreSQL, compared with River, the job queue for Go on PostgreSQL.

River runs in one process, as its documentation recommends, with the settings of its own command
``river bench``. Its program is built for each run, which needs Go and, once, Go's module proxy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.ledger import PLAIN, Shown, pair
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Side
from benchmarks.postgres import Runs, server

#: The folder of the program.
SOURCE = Path(__file__).with_name("programs") / "river"

#: River's jobs of one round: it needs more of them until its rate is steady.
JOBS = 60_000

#: Timeouts in seconds: for the build, and for one round.
BUILD, ROUND = 600.0, 300.0

_SHOWN: Shown = (("no-op jobs run, beside River", "drain", "/s", Goal(least=1.5)),)


def run(bench: Bench) -> list[Figure]:
    """Measure both in turns."""
    program = _built(bench.folder / "river")
    with server() as url:
        runs = Runs(bench, url)
        ours, river = runs.host("nothing", PLAIN), _river(program, runs)
        return pair(bench, "river", "no-op jobs", ours, river, _SHOWN)


def _built(program: Path) -> Path:
    """Build River's program.

    Raises:
        Unmeasured: Go is not installed, or the build failed, for example without a network.
    """
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise Unmeasured("Go is not installed")
    built = subprocess.run(
        [go, "build", "-mod=readonly", "-o", program, "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=BUILD,
        check=False,
    )
    if built.returncode:
        raise Unmeasured(f"go build in {SOURCE}: {built.stderr[-2000:]}")
    return program


def _river(program: Path, runs: Runs) -> Side:
    count = runs.count(JOBS)

    def measure() -> dict[str, float]:
        with runs.database() as url:
            done = subprocess.run(
                [program, url, count],
                env={**os.environ, "PGSSLMODE": "disable"},
                capture_output=True,
                text=True,
                timeout=ROUND,
                check=False,
            )
        if done.returncode:
            raise Unmeasured(f"River ended with {done.returncode}: {done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout)
        return found

    return measure
