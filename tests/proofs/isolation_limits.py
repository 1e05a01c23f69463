"""Part of ``isolation``: limits hold while processes are killed and frozen, and jobs replayed."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from benchmarks.children import finish
from tests.proofs import claim_log
from tests.proofs.isolation_fairness import PLUGIN
from tests.proofs.isolation_plugin import ACTOR, BURST, QUEUE, RATE, TENANT
from tests.proofs.kills import processes
from tests.proofs.kit import Options, Task
from tests.proofs.ledgers import Ledger, Make
from tests.proofs.running import READY, Running, eventually, running


class Size(NamedTuple):
    """The size of a run: faults, and seconds between them."""

    faults: int
    pause: float


FULL, SHORT = Size(100, 1.0), Size(6, 1.0)

#: Kinds of faults, in turns; ``replay`` runs dead letters again.
FAULTS = ("kill", "freeze", "replay")

#: Settings of the fleet: a process that is frozen for FROZEN seconds loses its jobs.
LEASE, HEARTBEAT, FROZEN = 3.0, 1.0, 12.0
WORKERS = 3

#: Timeout in seconds for all jobs to end after the last fault.
PATIENCE = 180.0

#: Seconds by which the time of a claim in the log may differ from the time that the host used.
TOLERANCE = 0.1

_RUNS = "CREATE TABLE proof_runs (job BIGINT, began DOUBLE PRECISION, ended DOUBLE PRECISION)"
_STATES = "SELECT actor, state, count(*) FROM rolehost_jobs GROUP BY actor, state"
_UNFINISHED = (
    "SELECT count(*) FROM rolehost_jobs WHERE state NOT IN ('completed', 'dead', 'cancelled')"
)


def measure(make: Make, size: Size, options: Options, task: Task) -> dict[str, Any]:
    """Run the mixed load during the faults; return the largest excess of each limit."""
    with make(PLUGIN) as ledger:
        claim_log.install(ledger)
        ledger.execute(_RUNS)
        with _fleet(ledger) as host:
            with _mix(ledger, options.seed) as load:
                done = _disturb(ledger, host, size, random.Random(options.seed), task)
                enqueued = int(load.communicate("\n")[0])
            left = eventually(
                lambda: ledger.execute(_UNFINISHED)[0][0], lambda count: not count, seconds=PATIENCE
            )
        assert not left, (
            f"{left} of {enqueued} jobs did not end in {PATIENCE:g} s: {ledger.execute(_STATES)}"
        )
        kept = ledger.execute("SELECT count(*) FROM rolehost_jobs")[0][0]
        return {"jobs": enqueued, "lost": enqueued - kept, **done, **_audit(ledger)}


@contextmanager
def _fleet(ledger: Ledger) -> Iterator[Running]:
    # The supervisor tells with an informational line that the fleet is ready.
    text = ledger.made.file.read_text("utf-8").replace('"warning"', '"info"')
    ledger.made.file.write_text(
        f"{text}\n[delivery]\nlease = {LEASE}\nheartbeat = {HEARTBEAT}\n"
        f"[worker]\nprocesses = {WORKERS}\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "rolehost", "run", str(ledger.made.file)]
    with running(command, ledger.made.folder, ledger.made.env) as host:
        host.until(READY)
        yield host


@contextmanager
def _mix(ledger: Ledger, seed: int) -> Iterator[subprocess.Popen[str]]:
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.proofs.isolation_load", "mix", ledger.made.file, str(seed)],
        cwd=ledger.made.folder,
        env={**os.environ, **ledger.made.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield load
    finally:
        if load.poll() is None:
            load.kill()
            load.communicate()


def _disturb(
    ledger: Ledger, host: Running, size: Size, chance: random.Random, task: Task
) -> dict[str, int]:
    """Cause the faults, one after each pause; thaw what is frozen; return how many of each."""
    done = dict.fromkeys(FAULTS, 0)
    timers: list[threading.Timer] = []
    for number in range(size.faults):
        time.sleep(size.pause)  # the interval of the faults
        kind = FAULTS[number % len(FAULTS)]
        done[kind] += _replay(ledger) if kind == "replay" else _signal(host, kind, chance, timers)
        task.advance()
    for timer in timers:
        timer.join()
    return done


def _signal(host: Running, kind: str, chance: random.Random, timers: list[threading.Timer]) -> int:
    """Kill or freeze one of the workers; return 1, or 0 if none runs."""
    found = sorted(pid for pid, role in processes(host.pid) if role == "worker")
    if not found:
        return 0
    pid = chance.choice(found)
    _send(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
    if kind == "freeze":
        timer = threading.Timer(FROZEN, _send, (pid, signal.SIGCONT))
        timer.start()
        timers.append(timer)
    return 1


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _replay(ledger: Ledger) -> int:
    """Run all dead jobs again; return how many."""
    rows = ledger.execute("SELECT id FROM rolehost_jobs WHERE state = 'dead' ORDER BY id")
    if rows:
        letters = [f"job:{row[0]}" for row in rows]
        given = ["-m", "rolehost", "dead", "replay", *letters, "-d", str(ledger.made.file)]
        finish(given, ledger.made.folder, ledger.made.env)
    return len(rows)


def _audit(ledger: Ledger) -> dict[str, Any]:
    """Return the largest excess of each limit; 0: it was never exceeded."""
    claims = claim_log.claims(ledger)
    of = {
        name: [each for each in claims if each.actor == name]
        for name in ("shared", "single", "rated", "keyed")
    }
    found = {
        "actor": claim_log.excess(of["shared"], lambda each: each.actor, ACTOR),
        "queue": claim_log.excess([*of["shared"], *of["rated"]], lambda each: each.queue, QUEUE),
        "partition": claim_log.excess(of["shared"], lambda each: each.partition, TENANT),
        "partition_of_one": claim_log.excess(of["single"], lambda each: each.partition, 1),
        "key": claim_log.excess(of["keyed"], lambda each: each.partition, 1),
        "rate": claim_log.rate_excess(of["rated"], RATE, BURST, TOLERANCE),
    }
    return {
        "claims": len(claims),
        **{f"excess_{name}": round(max(0, value), 1) for name, value in found.items()},
        **_runs(ledger),
    }


def _runs(ledger: Ledger) -> dict[str, int]:
    """Count runs of a partition of one, or of a key, that overlapped or broke the key's order.

    Only committed runs count: a frozen process may go on with a job that it has lost.
    """
    groups: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for actor, name, *run in ledger.execute(
        "SELECT j.actor, coalesce(j.partition, j.key), r.began, r.ended, r.job FROM proof_runs r"
        " JOIN rolehost_jobs j ON j.id = r.job WHERE j.actor IN ('single', 'keyed')"
    ):
        groups.setdefault((actor, name), []).append((run[0], run[1], run[2]))
    overlapping = disordered = 0
    for (actor, _), runs in groups.items():
        overlapping += claim_log.overlaps([(began, ended) for began, ended, _ in runs])
        if actor == "keyed":
            jobs = [job for _, _, job in sorted(runs)]
            disordered += sum(after < before for before, after in itertools.pairwise(jobs))
    return {"overlapping_runs": overlapping, "disordered_runs": disordered}
