"""A plugin whose jobs form batches, on SQLite and PostgreSQL."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import rolehost_batches.plugin
from rolehost.api import Complete, PluginInfo, RetryPolicy, actor, hookimpl
from rolehost_batches import batch_of, keep_result, report_progress, results_of

once = RetryPolicy(attempts=1)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def shop(ran):
    """Return a plugin and its actors, which note their arguments in ``ran``."""

    @actor(name="shop.work", retry=once)
    def work(job, n: int = 0):
        ran.append(n)
        if n < 0:
            raise ValueError(f"cannot do {n}")
        with job.services.unit_of_work():
            keep_result(job, n * n)

    @actor(name="shop.pure", retry=once)
    def pure(job, n: int = 0):
        ran.append(n)

    @actor(name="shop.later", retry=once)
    async def later(job, n: int = 0):
        ran.append(n)
        return Complete(keep_result, job, {"n": n})

    @actor(name="shop.together", grouped=True, retry=once)
    def together(job, n: int = 0):
        with job.services.unit_of_work():
            ran.append(n)

    @actor(name="shop.collect")
    def collect(job):
        batch = batch_of(job)
        ran.append((batch.state, sorted(results_of(job.services, batch.id, int).values())))

    @actor(name="shop.tell")
    def tell(job, text: str):
        ran.append(text)

    @actor(name="shop.slow")
    def slow(job):
        ran.append(job.services)
        for number in range(5):
            report_progress(job, number / 4, f"{number} of 4")

    actors = [work, pure, later, together, collect, tell, slow]

    class Plugin:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=2, enqueues=tuple(each.name for each in actors))

        @hookimpl
        def rolehost_actors(self):
            return actors

    names = {each.name.removeprefix("shop."): each for each in actors}
    return SimpleNamespace(plugin=Plugin(), **names)


@pytest.fixture
def here(host, shop):
    """Return a host that runs the plugin and batches."""
    return host(plugins=[rolehost_batches.plugin, shop.plugin])
