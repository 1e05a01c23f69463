"""Send and run no-op tasks with Celery on Redis; results are ignored."""

from __future__ import annotations

import sys
from pathlib import Path

from celery import Celery

from benchmarks.tally import Tally


def _declare(url: str, tally: Tally | None) -> Celery:
    app = Celery("bench", broker=url)
    app.conf.update(task_ignore_result=True, worker_enable_remote_control=False)

    @app.task(name="nothing")
    def nothing(number: int) -> None:
        assert tally is not None
        tally.count(number)

    return app


def fill(url: str, count: int) -> None:
    """Send tasks."""
    app = _declare(url, None)
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            app.tasks["nothing"].apply_async((number,), producer=producer)


def drain(url: str, threads: int, tally: Tally) -> None:
    """Run tasks until the process is stopped."""
    app = _declare(url, tally)
    app.finalize()
    tally.await_begin()
    app.worker_main(
        ["worker", "--pool=threads", f"--concurrency={threads}", "--loglevel=error",
         "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count]:
            fill(url, int(count))
        case ["drain", url, threads, path, slot]:
            drain(url, int(threads), Tally(Path(path), int(slot)))
