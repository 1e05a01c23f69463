"""Runs: effects of the seed, reports of failures, and supported plugins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("peewee")
pytest.importorskip("dramatiq")

from rolehost.api import PLUGIN_API, Actor, JobContext, PluginInfo, actor, hookimpl
from rolehost_testing.simulation import (
    NONE,
    Client,
    Faults,
    SimulatedWorld,
    Simulation,
    SimulationFailed,
    for_seeds,
    hold,
    simulate,
)

from contrib.testing.tests.simulation import ledgerbook
from contrib.testing.tests.simulation.faulty_plugins import call_that_is_not_idempotent
from tests.proofs.kit import ROOT


def book(**options: Any) -> Simulation:
    return Simulation([ledgerbook], actions=ledgerbook.ACTIONS, **options)


def test_a_seed_makes_the_same_run_again_and_another_seed_another() -> None:
    simulation = book()
    digests = [simulation.run(seed).digest for seed in (1, 2, 1)]
    assert digests[0] == digests[2] != digests[1]
    simulation.close()


@pytest.mark.parametrize("hash_seed", ["1", "4321"])
def test_another_process_makes_the_same_run_whatever_its_hash_seed(hash_seed: str) -> None:
    simulation = call_that_is_not_idempotent(right=False).simulation()
    mine = simulation.run(0)
    simulation.close()
    done = subprocess.run(
        [sys.executable, "-m", "tests.proofs.simulate_runs"],
        input='{"call_that_is_not_idempotent": 0}',
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert mine.violation is not None
    assert mine.digest in done.stdout


def test_a_violation_shows_the_seed_the_trace_and_the_replay_command() -> None:
    simulation = call_that_is_not_idempotent(right=False).simulation()
    with pytest.raises(SimulationFailed) as caught:
        hold(simulation, range(50))
    simulation.close()
    text, run = str(caught.value), caught.value.run
    assert text.startswith("charged_once: order ")
    assert f"ROLEHOST_SEED={run.seed} ROLEHOST_STEPS={run.steps} python -m pytest" in text
    assert "test_a_violation_shows_the_seed" in text
    assert run.digest in text
    assert "worker.0.1" in text


def test_a_failure_is_shown_with_as_few_steps_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = call_that_is_not_idempotent(right=False).simulation()
    seed = next(each for each in range(50) if simulation.run(each).violation)
    with pytest.raises(SimulationFailed) as caught:
        simulate(simulation, seed=seed)
    shown = caught.value.run
    assert shown.steps < 200
    assert simulation.run(seed, shown.steps - 1).violation is None
    monkeypatch.setenv("ROLEHOST_SEED", str(seed))
    monkeypatch.setenv("ROLEHOST_STEPS", str(shown.steps))
    with pytest.raises(SimulationFailed) as again:
        simulate(simulation, seed=seed)
    assert again.value.run.digest == shown.digest
    simulation.close()


def test_nothing_of_a_run_is_left_in_the_next_one() -> None:
    simulation = book(act=0.2)
    simulation.run(1)
    fresh = book(act=0.2)
    assert simulation.run(2).digest == fresh.run(2).digest
    simulation.close()
    fresh.close()


def test_the_machine_has_its_own_time_and_chance_back_afterwards() -> None:
    before = time.time, time.sleep, os.urandom
    simulation = book()
    simulation.run(1)
    simulation.close()
    assert (time.time, time.sleep, os.urandom) == before


def test_seeds_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    @for_seeds(3)
    def check(seed: int) -> None:
        ran.append(seed)

    check()
    monkeypatch.setenv("ROLEHOST_SEEDS", "2")
    check()
    monkeypatch.setenv("ROLEHOST_SEED", "17")
    check()
    assert ran == [0, 1, 2, 0, 1, 17]


@for_seeds(2)
def test_for_seeds_hands_each_seed_to_a_test(seed: int) -> None:
    assert seed in (0, 1) or "ROLEHOST_SEED" in os.environ or "ROLEHOST_SEEDS" in os.environ


class Slow:
    """A plugin with a job that takes an hour, twice."""

    @staticmethod
    @hookimpl
    def rolehost_plugin() -> PluginInfo:
        return PluginInfo(
            api=PLUGIN_API, requires=("database", "queue"), enqueues=("slow.begin", "slow.end")
        )

    @staticmethod
    @hookimpl
    def rolehost_actors() -> list[Actor]:
        return [begin, end]


@actor(name="slow.begin", queue="slow")
def begin(job: JobContext, started: int) -> None:
    """Sleep for an hour, then have the rest done in another one."""
    time.sleep(3600)
    job.services.enqueue(end, started=started, delay=3600)


@actor(name="slow.end", queue="slow")
def end(job: JobContext, started: int) -> None:
    """Note how long it took."""
    with job.services.unit_of_work() as work:
        work.transaction.execute(  # type: ignore[attr-defined]
            "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, ?)",
            (f"{started} {job.id}", job.services.clock.now() - started),
        )


def test_hours_pass_in_a_moment() -> None:
    def start(client: Client) -> None:
        client.services.enqueue(begin, started=client.services.clock.now())
        client.acknowledged("started", client.number)

    def took_two_hours(world: SimulatedWorld) -> None:
        rows = world.rows("SELECT last_tick FROM rolehost_ticks")
        assert len(rows) == len(world.acknowledged.get("started", ()))
        assert all(milliseconds >= 7_200_000 for (milliseconds,) in rows)

    run = simulate(
        [Slow()],
        seed=1,
        steps=100,
        actions=[start],
        eventually=[took_two_hours],
        faults=NONE,
        replicas={"worker": 1},
    )
    assert run.world.acknowledged["started"]


def test_an_action_that_raises_is_a_violation() -> None:
    def broken(_client: Client) -> None:
        raise ValueError("no such thing")

    with pytest.raises(SimulationFailed, match="ValueError: no such thing"):
        simulate([ledgerbook], seed=1, actions=[broken])


def test_processes_die_freeze_and_come_back() -> None:
    simulation = book(faults=Faults(crash=0.05, freeze=0.05))
    entries = simulation.run(3).trace.entries
    simulation.close()
    for words in ("crash at ", "freezes ", "thaws "):
        assert any(entry.what.startswith(words) for entry in entries)
    assert any(entry.who.endswith(".2") and entry.what == "starts" for entry in entries)
