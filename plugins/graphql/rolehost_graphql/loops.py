"""Event loops for threads: an operation runs on one thread from start to end.

graphql-core and data loaders need an event loop, although resolvers are synchronous code on the
thread's database connection. Loops are reused by later requests, because creating one costs more
than a small query.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Loops:
    """A pool of idle event loops; it grows to the maximum number of concurrent operations."""

    def __init__(self) -> None:
        self._free: deque[asyncio.AbstractEventLoop] = deque()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in this thread, with this thread's context variables."""
        try:
            loop = self._free.pop()
        except IndexError:
            loop = asyncio.new_event_loop()
        try:
            result = loop.run_until_complete(work)
        except BaseException:
            # Tasks may be left in the loop.
            _close(loop)
            raise
        self._free.append(loop)
        return result

    def close(self) -> None:
        """Close all loops."""
        while self._free:
            _close(self._free.pop())


def _close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
