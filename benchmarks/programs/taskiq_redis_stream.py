"""Send and run coroutines that wait, with taskiq on a stream of Redis, which acknowledges tasks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.moments import Moments


def _declare(url: str, moments: Moments | None) -> RedisStreamBroker:
    broker = RedisStreamBroker(url)

    @broker.task(task_name="wait")
    async def wait(number: int, seconds: float) -> None:
        assert moments is not None
        moments.start(number)
        await asyncio.sleep(seconds)
        moments.end(number)

    return broker


async def fill(url: str, count: int, seconds: float) -> None:
    """Send tasks."""
    broker = _declare(url, None)
    await broker.startup()
    task = broker.find_task("wait")
    assert task is not None
    for number in range(count):
        await task.kiq(number, seconds)
    await broker.shutdown()


async def drain(url: str, moments: Moments, count: int) -> None:
    """Run tasks until the process is stopped."""
    broker = _declare(url, moments)
    moments.await_begin()
    await run_receiver_task(broker, max_async_tasks=count, run_startup=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count, seconds]:
            asyncio.run(fill(url, int(count), float(seconds)))
        case ["drain", url, path, count]:
            asyncio.run(drain(url, Moments(Path(path), int(count)), int(count)))
