"""Renamed actors: jobs that wait under an earlier name run."""

from __future__ import annotations

import pytest
from rolehost.api import Limits, actor
from rolehost.roles.worker.role import WorkerRole


def test_jobs_run_under_the_name_and_the_aliases_of_their_actor(host, collected):
    @actor(name="shop.charge", aliases=("shop.bill", "shop.pay"), partition="shop")
    def charge(job, shop: str):
        collected.add(shop)

    here = host([charge])
    with here.services.unit_of_work() as work:
        work.enqueue(charge, shop="new")
        work.enqueue("shop.bill", shop="old")
        work.enqueue("shop.pay", shop="older")
    here.start(WorkerRole, "worker")
    assert sorted(collected.wait(3)) == ["new", "old", "older"]
    here.stop()
    rows = here.read("SELECT actor, state FROM rolehost_jobs ORDER BY id")
    names = ["shop.charge", "shop.bill", "shop.pay"]
    assert [tuple(row) for row in rows] == [(name, "completed") for name in names]


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        (("a",), "aliases name it twice"),
        (("b", "b"), "aliases name it twice"),
        (("",), "each alias must have 1 to 600"),
        ("b", "aliases must be a tuple"),
    ],
)
def test_aliases_that_do_not_fit_are_refused(aliases, words):
    with pytest.raises((TypeError, ValueError), match=f"actor a: {words}"):

        @actor(name="a", aliases=aliases, limits=Limits(concurrency=1))
        def a(job): ...
