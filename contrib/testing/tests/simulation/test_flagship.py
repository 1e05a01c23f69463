"""contrib/webhooks in a simulation: over HTTP, with receivers that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("greenlet")
pytest.importorskip("rolehost_webhooks")

from rolehost.deployment import load
from rolehost_testing.simulation import hold

from contrib.testing.tests.simulation.flagship import flagship


def test_acknowledged_messages_are_delivered() -> None:
    simulation = flagship()
    assert hold(simulation, range(12), steps=150) == 12
    simulation.close()


def test_it_is_split_into_deployments_as_in_a_fleet(tmp_path: Path) -> None:
    plugins = {
        "api": '"webhooks-api"',
        "events": '"webhooks-ingest"',
        "workers": '"webhooks-delivery"',
    }
    fleet = []
    for name, plugin in plugins.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(f"plugins = [{plugin}]\n")
        if name == "events":
            path.write_text(f"{path.read_text()}[webhooks-ingest]\napplication = 'shop'\n")
        fleet.append(load(path, environ={}))
    simulation = flagship(fleet)
    run = next(run for run in map(simulation.run, range(5)) if run.world.notes.get("got"))
    assert run.violation is None
    who = {entry.who.rpartition(".")[0] for entry in run.trace.entries}
    assert {"api:http.0", "events:consumer.1", "workers:worker.0"} <= who
    simulation.close()


def test_requests_are_answered_by_the_application_itself() -> None:
    simulation = flagship()
    run = simulation.run(1)
    simulation.close()
    assert run.world.acknowledged["messages"]
    assert run.world.notes["got"]
