"""Defer and run no-op jobs with procrastinate on PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import procrastinate

from benchmarks.tally import Tally


def _declare(url: str, tally: Tally | None) -> procrastinate.App:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="nothing", queue="bench")
    async def nothing(number: int) -> None:
        assert tally is not None
        tally.count(number)

    return app


async def fill(url: str, count: int) -> None:
    """Create the tables and defer jobs in one statement."""
    app = _declare(url, None)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.tasks["nothing"].batch_defer_async(*({"number": n} for n in range(count)))


async def drain(url: str, concurrency: int, tally: Tally) -> None:
    """Run jobs until the process is stopped."""
    app = _declare(url, tally)
    async with app.open_async():
        tally.await_begin()
        await app.run_worker_async(queues=["bench"], concurrency=concurrency)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", url, count]:
            asyncio.run(fill(url, int(count)))
        case ["drain", url, concurrency, path, slot]:
            asyncio.run(drain(url, int(concurrency), Tally(Path(path), int(slot))))
