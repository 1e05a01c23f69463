"""Weights of queues: how the threads of a worker are shared."""

from __future__ import annotations

import time

import pytest
from rolehost.api import actor
from rolehost.roles.worker.role import WorkerRole
from rolehost.roles.worker.shares import Shares


def served(shares, seconds, count):
    """Serve queues that always have jobs; return the seconds of each."""
    spent = dict.fromkeys(seconds, 0.0)
    for _ in range(count):
        queue, expected = shares.choose(seconds)
        spent[queue] += seconds[queue]
        shares.spend(queue, expected, seconds[queue])
    return spent


def test_threads_time_is_shared_by_weight_whatever_the_jobs_take():
    spent = served(Shares({"mail": 3}), {"mail": 0.5, "quick": 0.001}, 20_000)
    assert spent["mail"] / spent["quick"] == pytest.approx(3, rel=0.1)


def test_a_queue_that_had_no_jobs_cannot_catch_up():
    shares = Shares({})
    served(shares, {"busy": 1.0}, 100)
    spent = served(shares, {"busy": 1.0, "late": 1.0}, 40)
    assert spent["late"] == pytest.approx(20, abs=2)


def test_jobs_of_a_heavier_queue_run_more_often(host, collected):
    @actor(queue="mail")
    def heavy(job, n: int):
        time.sleep(0.002)
        collected.add("mail")

    @actor(queue="reports")
    def light(job, n: int):
        time.sleep(0.002)
        collected.add("reports")

    settings = "[worker]\nthreads = 1\n[worker.weights]\nmail = 4\n"
    here = host([heavy, light], settings=settings)
    with here.services.unit_of_work() as work:
        for each in (light, heavy):
            work.enqueue_many(each, ({"n": n} for n in range(400)))
    here.start(WorkerRole, "worker")
    first = collected.wait(400, timeout=60)[:400]
    here.stop()
    assert 2 <= first.count("mail") / first.count("reports") <= 8
