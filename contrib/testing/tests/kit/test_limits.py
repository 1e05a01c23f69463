"""Limited jobs in a host of a test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rolehost.api import Limits, PluginInfo, actor, hookimpl
from rolehost_testing.kit import Hosts


@actor(name="send", partition="tenant", partition_limits=Limits(rate=0.1))
def send(job, tenant: str): ...


@actor(name="note")
def note(job, text: str): ...


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=2, enqueues=("send", "note"))


@hookimpl
def rolehost_actors():
    return [send, note]


PLUGIN = SimpleNamespace(rolehost_plugin=rolehost_plugin, rolehost_actors=rolehost_actors)


@pytest.fixture
def limited(host: Hosts):
    return host(plugins={"limited": PLUGIN})


def test_jobs_with_a_rate_run_when_the_clock_admits_them(limited):
    with limited.unit_of_work() as work:
        work.enqueue_many(send, [{"tenant": "a"}] * 3 + [{"tenant": "b"}])
    ran = limited.drain()
    assert sorted(each.arguments["tenant"] for each in ran) == ["a", "b"]
    limited.clock.advance(10)
    assert [each.arguments["tenant"] for each in limited.drain()] == ["a"]
    assert limited.drain() == []
    assert [each.arguments["tenant"] for each in limited.advance(30)] == ["a"]


def test_time_that_passes_runs_each_job_at_its_moment(limited):
    with limited.unit_of_work() as work:
        work.enqueue_many(send, [{"tenant": "a"}] * 4)
    assert len(limited.advance(25)) == 3
    assert len(limited.advance(10)) == 1


def test_jobs_of_one_key_run_in_order_and_others_between_them(limited):
    with limited.unit_of_work() as work:
        for text in "123":
            work.enqueue(note, text=text, key="k")
        work.enqueue(note, text="free", priority=-1)
    ran = [each.arguments["text"] for each in limited.drain()]
    assert [text for text in ran if text != "free"] == ["1", "2", "3"]
    assert "free" in ran


def test_a_limit_of_the_deployment_is_in_force(host: Hosts):
    limited = host(
        plugins={"limited": PLUGIN}, settings={"actors": {"note": {"rate": 1, "burst": 2}}}
    )
    with limited.unit_of_work() as work:
        work.enqueue_many(note, [{"text": "x"}] * 5)
    assert len(limited.drain()) == 2
    limited.clock.advance(1)
    assert len(limited.drain()) == 1
