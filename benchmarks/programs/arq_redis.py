"""Send and run coroutines that wait, with arq on Redis; results are not kept."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.moments import Moments


async def fill(url: str, count: int, seconds: float) -> None:
    """Send jobs."""
    pool = await create_pool(RedisSettings.from_dsn(url))
    for number in range(count):
        await pool.enqueue_job("wait", number, seconds)
    await pool.aclose()


def drain(url: str, moments: Moments, count: int) -> None:
    """Run jobs until the process is stopped."""

    async def wait(_context: dict[str, Any], number: int, seconds: float) -> None:
        moments.start(number)
        await asyncio.sleep(seconds)
        moments.end(number)

    moments.await_begin()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    Worker(
        [func(wait, name="wait", keep_result=0)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=count,
    ).run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count, seconds]:
            asyncio.run(fill(url, int(count), float(seconds)))
        case ["drain", url, path, count]:
            drain(url, Moments(Path(path), int(count)), int(count))
