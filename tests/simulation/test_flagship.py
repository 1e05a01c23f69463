"""contrib/webhooks in a simulation: over HTTP, with receivers that fail."""

from __future__ import annotations

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("rolehost_webhooks")

from rolehost.testing.simulation import hold

from tests.simulation.flagship import flagship


def test_what_was_acknowledged_is_delivered() -> None:
    simulation = flagship()
    assert hold(simulation, range(12), steps=150) == 12
    simulation.close()


def test_requests_are_answered_by_the_application_itself() -> None:
    simulation = flagship()
    run = simulation.run(1)
    simulation.close()
    assert run.world.acknowledged["messages"]
    assert run.world.notes["got"]
