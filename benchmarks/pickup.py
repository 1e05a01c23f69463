"""From enqueueing to start, with a worker process that has nothing to do."""

from __future__ import annotations

from benchmarks import quiet
from benchmarks.children import figures, running
from benchmarks.deployments import migrate
from benchmarks.ephemeral import worker_place
from benchmarks.model import Bench, Figure, Goal

#: Jobs that are timed, one after the other, with pauses in between.
JOBS = 200


def run(bench: Bench) -> list[Figure]:
    """Time single jobs from another process, from the call of enqueue() to the actor's start."""
    count = bench.scaled(JOBS, 20)
    step = bench.begin(1, "pickup")
    made = worker_place(bench, "pickup")
    migrate(made)
    arguments = ["-m", "rolehost.roles", "--role", "worker", "--deployment", str(made.file)]
    with running(arguments, made.folder, made.env) as worker:
        worker.await_ready()
        before = quiet.await_still(bench.patience)
        found = figures("enqueuer", [str(made.file), str(count)], made.folder, made.env)
        still = before and quiet.still()
    step()
    return [
        Figure(
            benchmark="pickup",
            what="idle worker: enqueue() called to job started",
            unit="ms",
            ours=found["waited"],
            quiet=[still] * count,
            goal=Goal(most=10.0),
        )
    ]
