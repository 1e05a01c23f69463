"""The contract holds over seeds; broken hosts and plugins with errors are found."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("peewee")
pytest.importorskip("dramatiq")

from rolehost_testing.simulation import Simulation, hold

from contrib.testing.tests.simulation import ledgerbook
from contrib.testing.tests.simulation.faulty_plugins import FAULTY_PLUGINS
from contrib.testing.tests.simulation.mutations import MUTATIONS, park_nothing

#: Seeds within which an error or a mutation must be found.
SEARCH = 150


def ledgerbook_simulation() -> Simulation:
    return Simulation(
        [ledgerbook],
        actions=ledgerbook.ACTIONS,
        invariants=[ledgerbook.one_of_its_kind, ledgerbook.shared_once],
        eventually=[ledgerbook.all_written],
    )


def violated(simulation: Simulation) -> str | None:
    try:
        runs = (simulation.run(seed) for seed in range(SEARCH))
        return next((run.violation for run in runs if run.violation), None)
    finally:
        simulation.close()


def test_the_host_keeps_its_contract() -> None:
    simulation = ledgerbook_simulation()
    assert hold(simulation, range(20)) == 20
    simulation.close()


def test_the_host_keeps_its_contract_when_it_parks_no_events() -> None:
    simulation = ledgerbook_simulation()
    with park_nothing():
        assert hold(simulation, range(10)) == 10
    simulation.close()


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda each: each.__name__)
def test_a_broken_host_is_found(mutate: Any) -> None:
    with mutate():
        violation = violated(ledgerbook_simulation())
    assert violation is not None
    assert "Error: " not in violation  # a mutation breaks the contract, not the program


@pytest.mark.parametrize("make", FAULTY_PLUGINS, ids=lambda each: each.__name__)
def test_the_error_of_a_faulty_plugin_is_found(make: Any) -> None:
    assert violated(make(right=False).simulation()) is not None


@pytest.mark.parametrize("make", FAULTY_PLUGINS, ids=lambda each: each.__name__)
def test_the_corrected_plugin_violates_nothing(make: Any) -> None:
    simulation = make(right=True).simulation()
    assert hold(simulation, range(4)) == 4
    simulation.close()
