"""Limits hold over seeds, and each way to break them is found; see ``limit_mutations``."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("peewee")
pytest.importorskip("dramatiq")

from rolehost_testing.simulation import Simulation, hold
from rolehost_testing.simulation.places import Places

from contrib.testing.tests.simulation import limit_mutations
from contrib.testing.tests.simulation.limit_mutations import KEY_MUTATIONS, LIMIT_MUTATIONS
from contrib.testing.tests.simulation.limited import KEYS, limited_simulation

#: Seeds within which a mutation must be found.
SEARCH = 60


def violated(simulation: Simulation) -> str | None:
    try:
        runs = (simulation.run(seed) for seed in range(SEARCH))
        return next((run.violation for run in runs if run.violation), None)
    finally:
        simulation.close()


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_limits_turns_and_counts_hold(grouped: bool) -> None:
    simulation = limited_simulation(grouped=grouped)
    assert hold(simulation, range(12)) == 12
    simulation.close()


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_the_order_of_keys_holds_while_their_next_jobs_are_claimed(grouped: bool) -> None:
    simulation = limited_simulation(KEYS, grouped=grouped)
    assert hold(simulation, range(12)) == 12
    simulation.close()


@pytest.mark.parametrize("mutate", KEY_MUTATIONS, ids=lambda each: each.__name__)
def test_a_host_with_broken_runs_of_keys_is_found(mutate: Any) -> None:
    with mutate():
        violation = violated(limited_simulation(KEYS))
    assert violation is not None
    assert "Error: " not in violation


@pytest.mark.parametrize("mutate", LIMIT_MUTATIONS, ids=lambda each: each.__name__)
def test_a_host_with_broken_limits_is_found(mutate: Any) -> None:
    with mutate():
        assert violated(limited_simulation(grouped=True)) is not None


def test_a_place_that_is_freed_early_lets_too_many_jobs_run() -> None:
    without_counts = mock.patch.object(Places, "miscounted", lambda *_: iter(()))
    with limit_mutations.free_a_place_before_the_end(), without_counts:
        assert (violated(limited_simulation()) or "").startswith("limits: ")
