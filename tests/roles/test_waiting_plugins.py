"""Work for a degraded plugin waits, and runs when the plugin works again.

The tests are statements about one story, which is played once: a plugin that cannot start, beside
one that can, in all roles that work; then the same again, with the corrected plugin.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rolehost import schema
from rolehost.api import Event, PluginInfo, Schedule, actor, handler, hookimpl
from rolehost.composition import Composition, compose
from rolehost.deployment import load
from rolehost.roles.consumer.role import ConsumerRole
from rolehost.roles.process import Process
from rolehost.roles.scheduler import SchedulerRole
from rolehost.roles.worker.role import WorkerRole
from rolehost.services import ProcessServices

from tests.host.installed import plugin

pytestmark = pytest.mark.needs("rolehost_embedded")

ROLES: dict[Any, Any] = {
    "worker": WorkerRole,
    "consumer": ConsumerRole,
    "scheduler": SchedulerRole,
}


class Diary:
    """The calls of actors and handlers, in order."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self._changed = threading.Condition()

    def note(self, entry: str) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def wait(self, count: int) -> list[str]:
        """Wait for so many entries more, and return and forget them, sorted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.entries) >= count, 20), self.entries
            done, self.entries = sorted(self.entries), []
            return done


@dataclass(frozen=True)
class Story:
    """The results of a job and an event for each of two plugins.

    Attributes:
        degraded: the calls while the plugin was degraded.
        jobs: actor → states of its jobs at the end of that.
        dead: dead letters at the end of that, jobs and events.
        corrected: the calls after the plugin worked again.
    """

    degraded: list[str]
    jobs: dict[str, list[str]]
    dead: int
    corrected: list[str]


def part(name: str, diary: Diary, every: float) -> SimpleNamespace:
    """A plugin with an actor, a handler and a schedule, each named after it."""

    @actor(name=f"{name}-work")
    def work(context: Any) -> None:
        diary.note(f"job of {name}")

    @handler(topic="things", group=name, name=f"{name}-read")
    def read(context: Any, event: Any) -> None:
        diary.note(f"event of {name}")

    return plugin(
        PluginInfo(api=2, enqueues=("shop-work", "other-work"), publishes=("things",)),
        actors=[work],
        handlers=[read],
        schedules=[Schedule(name=f"{name}-tick", actor=work, every=every)],
    )


@contextmanager
def running(composition: Composition, *roles: Any) -> Iterator[None]:
    """Run roles in this process for the time of the block."""
    started = []
    for role in roles:
        process = Process(composition, role=role)
        process.start()
        started.append((ROLES[role](process), process))
        started[-1][0].start()
    yield
    for role, process in started:
        process.drain()
        role.stop()
        process.stop()


def deployed(folder: Path, **plugins: Any) -> Composition:
    """Compose plugins of which ``shop`` may be degraded, on one database file."""
    path = folder / "rolehost.toml"
    path.write_text(
        f"plugins = {['embedded', *plugins]}\n"
        f'[on_failure]\nshop = "degrade"\n[embedded]\npath = "{folder}/service.db"\n'
    )
    return compose(load(path, environ={}), extra=plugins)


def standing(services: ProcessServices) -> tuple[dict[str, list[str]], int]:
    """Return the states of jobs by actor, and how many dead letters there are."""
    jobs: dict[str, list[str]] = {}
    with services.database.session():
        for name, state in services.database.read("SELECT actor, state FROM rolehost_jobs"):
            jobs.setdefault(name, []).append(state)
    statistics = services.statistics()
    return jobs, statistics.dead_jobs + statistics.dead_events


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    diary, broken = Diary(), [True]
    shop, other = part("shop", diary, every=0.1), part("other", diary, every=1e9)

    def start(context: Any) -> None:
        assert not broken, "not corrected yet"

    shop.rolehost_start = hookimpl(start)
    composition = deployed(tmp_path_factory.mktemp("story"), shop=shop, other=other)
    services = ProcessServices(composition, role="command")
    schema.up(services.database, [schema.HOST_SET, *composition.schema_sets])
    with running(composition, "worker", "consumer", "scheduler"):
        for name in ("shop", "other"):
            services.enqueue(f"{name}-work")
        services.publish(Event(topic="things", type="thing", data=b"one"))
        degraded = diary.wait(2)
    degraded += diary.wait(0)  # by now nothing more can come
    jobs, dead = standing(services)
    broken.clear()
    with running(composition, "worker", "consumer"):
        corrected = diary.wait(2)
    services.close()
    return Story(degraded, jobs, dead, corrected + diary.wait(0))


def test_the_others_work_while_a_plugin_is_degraded(story: Story):
    assert story.degraded == ["event of other", "job of other"]
    assert story.jobs["other-work"] == ["completed"]


def test_jobs_of_a_degraded_plugin_wait_and_its_schedule_does_not_tick(story: Story):
    assert story.jobs["shop-work"] == ["available"]


def test_nothing_of_a_degraded_plugin_becomes_a_dead_letter(story: Story):
    assert story.dead == 0


def test_waiting_work_runs_once_the_plugin_works_again(story: Story):
    assert story.corrected == ["event of shop", "job of shop"]
