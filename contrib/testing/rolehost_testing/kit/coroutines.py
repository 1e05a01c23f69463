"""Runs the coroutines of asynchronous actors and handlers, in the thread of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from rolehost.delivery.around import Around
from rolehost.delivery.coroutines import EndedCoroutine
from rolehost.delivery.guard import role_loop
from rolehost.failures import as_runtime_error
from rolehost.services import ProcessServices

from rolehost_testing.kit.client import Loop


def run_before(
    services: ProcessServices,
    enter: Callable[[], Around | None],
    begin: Callable[[], Awaitable[Any]],
) -> EndedCoroutine:
    """Run the coroutine of an actor or handler to its end before its attempt, as a role does.

    Args:
        services: the services of the process.
        enter: enters the middleware around the attempt.
        begin: calls the function.
    """
    began = services.clock.now()
    # The attempt goes on in the context of the coroutine.
    context = copy_context()
    around: Around | None = None
    outcome: Any = None
    shown: Exception | None = None

    async def run() -> None:
        nonlocal around, outcome, shown
        try:
            with role_loop(asyncio.get_running_loop()):
                around = enter()
                outcome = await begin()
        except BaseException as error:  # the function may raise anything, even SystemExit
            shown = error if isinstance(error, Exception) else as_runtime_error(error)
        if around is not None:
            around.context = context

    async def call() -> None:
        await asyncio.get_running_loop().create_task(run(), context=context)

    services.singletons.get("coroutines", Loop, Loop.close).run(call)
    return EndedCoroutine(began, outcome, shown, around)
