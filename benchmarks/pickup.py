"""Latency from enqueueing to start, with an idle worker process."""

from __future__ import annotations

from contextlib import ExitStack

from rolehost_testing import services

from benchmarks import quiet
from benchmarks.children import Child, figures, running
from benchmarks.deployments import migrate
from benchmarks.ephemeral import worker_place
from benchmarks.ephemeral_redis import THREADS, redis_place, redis_url
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.tally import Tally

#: Number of timed jobs, one after the other with pauses.
JOBS = 200

#: Maximum median latency in milliseconds.
WANTED = Goal(most=10.0)


def run(bench: Bench) -> list[Figure]:
    """Time single jobs of another process, from the call of enqueue() to the actor's start."""
    count = bench.scaled(JOBS, 20)
    step = bench.begin(1, "pickup")
    made = worker_place(bench, "pickup")
    migrate(made)
    arguments = ["-m", "rolehost.roles", "--role", "worker", "--deployment", str(made.file)]
    with running(arguments, made.folder, made.env) as worker:
        worker.await_ready()
        before = quiet.await_still(bench.patience)
        found = figures("enqueuer", [str(made.file), str(count), ""], made.folder, made.env)
        still = before and quiet.still()
    step()
    return [
        Figure(
            benchmark="pickup",
            what="idle worker: enqueue() called to job started",
            unit="ms",
            ours=found["durable"],
            quiet=[still] * count,
            goal=WANTED,
        )
    ]


def on_engines(bench: Bench) -> list[Figure]:
    """Time messages on Redis, jobs on PostgreSQL with wake-ups by Redis, and Dramatiq, in turns.

    One worker of the host and one of bare Dramatiq wait on the same Redis all the time.
    """
    count = bench.scaled(JOBS, 20)
    step = bench.begin(1, "pickup-engines")
    with ExitStack() as stack:
        url = stack.enter_context(redis_url())
        try:
            postgres = stack.enter_context(services.start("postgres")).url
        except services.Missing as missing:
            raise Unmeasured(str(missing)) from missing
        made = redis_place(bench.folder / "pickup-engines", url, postgres)
        migrate(made)
        arguments = ["-m", "rolehost.roles", "--role", "worker", "--deployment", str(made.file)]
        stack.enter_context(running(arguments, made.folder, made.env)).await_ready()
        tally = Tally(made.folder / "tally")
        program = ["-m", "benchmarks.programs.dramatiq_redis", "drain", url, str(THREADS)]
        bare = Child([*program, str(made.folder / "tally"), "0"], made.folder, made.env)
        stack.callback(bare.stop)
        tally.await_ready(1)
        tally.begin()
        before = quiet.await_still(bench.patience)
        found = figures("enqueuer", [str(made.file), str(count), url], made.folder, made.env)
        still = before and quiet.still()
    step()
    shown = {
        "ephemeral": "idle worker on Redis: send() called to message started",
        "durable": "idle worker on PostgreSQL and Redis: enqueue() called to job started",
    }
    return [
        Figure(
            benchmark="pickup-engines",
            what=what + words,
            unit="ms",
            ours=found[kind],
            bare=found["bare"] if beside else (),
            quiet=[still] * count,
            inverse=True,
            goal=None if beside else WANTED,
        )
        for kind, what in shown.items()
        for words, beside in (("", False), (", beside Dramatiq", True))
    ]
