"""What a process tells of itself while it lives."""

from __future__ import annotations

import time

import pytest
from rolehost.api import actor
from rolehost.composition.manifest import describe
from rolehost.roles.process import Process
from rolehost.services import manifests as stored
from rolehost_fleet import status

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("dramatiq"),
]

NOW = 1_700_000_000_000


@actor(name="greet")
def greet(job, name: str) -> None: ...


def look(services):
    return status.read(services.database, None, time.time_ns() // 1_000_000)


def until(services, wanted):
    """Look until it is so: the heartbeat is told to come, and comes in a thread of its own."""
    deadline = time.monotonic() + 10
    while True:
        seen = look(services)
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)


def test_a_process_tells_what_it_runs_and_how_it_is(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",))
    services = any_fleet.services(composition)
    process = Process(composition, role="worker", slot=3)
    process.in_flight = lambda: 7
    process.start()
    try:
        (seen,) = look(services).processes
        assert (seen.deployment, seen.role, seen.slot, seen.state) == (
            "app",
            "worker",
            3,
            "starting",
        )
        assert seen.in_flight == 7
        assert look(services).manifest(seen) == describe(composition)
        process.announce_ready()
        until(services, lambda found: found.processes[0].state == "ready")
        process.drain()
        until(services, lambda found: found.processes[0].state == "draining")
    finally:
        process.stop()
    assert look(services).processes == ()
    assert len(look(services).manifests) == 1, "what ran is remembered"


def test_processes_of_an_older_host_live_beside_newer_ones(any_fleet):
    composition = any_fleet.compose()
    services = any_fleet.services(composition)
    with services.database.session(), services.database.transaction() as tx:
        tx.execute(
            "INSERT INTO rolehost_processes (id, deployment, role, slot, incarnation, host, pid,"
            " started_at, expires_at) VALUES ('old', 'app', 'http', 0, 1, 'elsewhere', 1, ?, ?)",
            (NOW, NOW + 10_000),
        )
    found = status.read(services.database, None, NOW)
    (seen,) = found.processes
    assert (seen.manifest, seen.state, seen.in_flight) == (None, None, None)
    assert found.running() == ()


def test_a_fleet_can_be_looked_at_before_the_migration(any_fleet):
    from rolehost import schema

    services = any_fleet.services(any_fleet.compose())
    with services.database.session():
        schema.down(services.database, schema.HOST_SET)
    found = status.read(services.database, None, NOW)
    assert found.processes == ()
    assert found.manifests == {}


def test_a_manifest_is_stored_once_and_let_go_when_nobody_has_run_it_for_long(any_fleet):
    composition = any_fleet.compose()
    services = any_fleet.services(composition)
    manifest = describe(composition)
    for _ in range(2):
        stored.store(services.database, manifest, NOW)
    assert stored.read(services.database) == {manifest.hash: manifest}
    assert stored.delete_expired(services.database, NOW + stored.KEEP * 1000) == 0
    assert stored.delete_expired(services.database, NOW + stored.KEEP * 1000 + 1) == 1
    assert stored.read(services.database) == {}


def test_one_that_a_newer_host_wrote_is_passed_over(any_fleet):
    services = any_fleet.services(any_fleet.compose())
    with services.database.session(), services.database.transaction() as tx:
        tx.execute(
            "INSERT INTO rolehost_manifests (hash, deployment, content, seen_at)"
            " VALUES ('x', 'app', ?, ?)",
            (b'{"format": 99}', NOW),
        )
    assert stored.read(services.database) == {}


def test_a_worker_counts_the_jobs_that_it_has(fleet):
    import threading

    from rolehost.roles.worker.role import WorkerRole

    entered, leave = threading.Event(), threading.Event()

    @actor(name="wait")
    def wait(job) -> None:
        entered.set()
        leave.wait(20)

    composition = fleet.compose(actors=[wait], enqueues=("wait",))
    services = fleet.services(composition)
    process = Process(composition, role="worker")
    process.start()
    role = WorkerRole(process)
    role.start()
    try:
        services.enqueue("wait")
        assert entered.wait(20)
        process.announce_ready()
        seen = until(services, lambda found: found.processes[0].state == "ready")
        assert seen.processes[0].in_flight == 1
    finally:
        leave.set()
        process.drain()
        role.stop()
        process.stop()
