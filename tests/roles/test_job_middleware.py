"""Middleware around jobs in the worker, whose coroutines and completions run in several threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from rolehost.api import Complete, JobMiddleware, actor
from rolehost.roles.worker.role import WorkerRole

NUMBER = ContextVar("number", default=0)


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_each_job_has_its_own_context_from_its_coroutine_to_its_end(host, collected, grouped):
    @contextmanager
    def numbered(execution):
        token = NUMBER.set(int(execution.id))
        yield
        # Raises ValueError in another context than that of the beginning.
        NUMBER.reset(token)
        collected.add((int(execution.id), execution.outcome, seen[int(execution.id)]))

    seen = {}

    @actor(grouped=grouped)
    async def works(job, n: int):
        first = NUMBER.get()
        await asyncio.sleep(0.001 * (n % 3))
        return Complete(ends, job.id, first, NUMBER.get(), threading.get_ident())

    def ends(job, *found):
        seen[job] = {*found[:-1], NUMBER.get()}
        assert found[-1] != threading.get_ident()

    here = host([works], job_middleware=[JobMiddleware(name="numbered", around=numbered)])
    here.start(WorkerRole, "worker")
    with here.services.unit_of_work() as work:
        work.enqueue_many(works, ({"n": n} for n in range(60)))
    found = collected.wait(60)
    assert {each[1] for each in found} == {"completed"}
    assert all(numbers == {job} for job, _, numbers in found)
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs WHERE state = 'completed'") == [(60,)]


def test_a_job_that_a_stopping_worker_hands_back_leaves_its_middleware(host, collected):
    @contextmanager
    def around(execution):
        yield
        collected.add(execution.outcome)

    started = threading.Event()

    @actor()
    async def waits(job):
        started.set()
        await asyncio.Event().wait()

    here = host(
        [waits],
        settings="[worker]\ngrace = 0.1\n",
        job_middleware=[JobMiddleware(name="around", around=around)],
    )
    here.start(WorkerRole, "worker")
    here.services.enqueue(waits)
    assert started.wait(20)
    here.stop()
    assert collected.wait(1) == ["interrupted"]
    assert here.read("SELECT state, attempt FROM rolehost_jobs") == [("available", 0)]
