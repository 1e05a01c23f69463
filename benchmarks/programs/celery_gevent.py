"""Send and run tasks that wait, with Celery on Redis, in greenlets; results are ignored.

Celery has no pool for coroutines; gevent is one of its two pools for tasks that wait.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after the patch, as gevent asks for
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from celery import Celery  # noqa: E402

from benchmarks.moments import Moments  # noqa: E402


def _declare(url: str, moments: Moments | None) -> Celery:
    app = Celery("bench", broker=url)
    app.conf.update(task_ignore_result=True, worker_enable_remote_control=False)

    @app.task(name="wait")
    def wait(number: int, seconds: float) -> None:
        assert moments is not None
        moments.start(number)
        time.sleep(seconds)
        moments.end(number)

    return app


def fill(url: str, count: int, seconds: float) -> None:
    """Send tasks."""
    app = _declare(url, None)
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            app.tasks["wait"].apply_async((number, seconds), producer=producer)


def drain(url: str, moments: Moments, count: int) -> None:
    """Run tasks until the process is stopped."""
    app = _declare(url, moments)
    app.finalize()
    moments.await_begin()
    app.worker_main(
        ["worker", "--pool=gevent", f"--concurrency={count}", "--loglevel=error",
         "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count, seconds]:
            fill(url, int(count), float(seconds))
        case ["drain", url, path, count]:
            drain(url, Moments(Path(path), int(count)), int(count))
