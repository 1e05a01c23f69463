"""A pool is stuck if all its threads are busy while calls wait."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext

import pytest
from rolehost.services import threads
from rolehost.services.threads import Threads


def test_a_pool_is_stuck_when_calls_wait_and_no_thread_comes_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])
    held, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        held.wait()

    def stuck_after(pool: Threads, seconds: float) -> bool:
        pool.stuck(60.0)
        now[0] += seconds
        return pool.stuck(60.0)

    async def run() -> None:
        pool = Threads(1, "pool")
        first = asyncio.create_task(pool.run(hold, nullcontext))
        while not begun.is_set():
            await asyncio.sleep(0)
        # One running call delays no other call.
        assert not stuck_after(pool, 600.0)
        second = asyncio.create_task(pool.run(lambda: None, nullcontext))
        await asyncio.sleep(0)
        assert not stuck_after(pool, 59.0)
        assert stuck_after(pool, 1.0)
        held.set()
        await asyncio.gather(first, second)
        assert not stuck_after(pool, 600.0)
        pool.close()

    asyncio.run(run())
