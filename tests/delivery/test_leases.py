"""Named leases: one owner at a time. Locked rows: no statement on leases and jobs waits for one."""

from __future__ import annotations

from rolehost.composition import compose
from rolehost.composition.manifest import describe
from rolehost.delivery import leases, sweep
from rolehost.deployment import load
from rolehost.services import manifests

from tests.delivery.things import plain


def test_a_lease_has_one_owner_until_it_expires(bench):
    def acquire(owner):
        return leases.acquire(bench.database, bench.clock, "relay:0", owner, 10)

    assert acquire("a")
    assert not acquire("b")
    assert acquire("a")
    bench.clock.forward(9)
    assert acquire("a")
    bench.clock.forward(9)
    assert not acquire("b"), "prolonged from the last renewal"
    bench.clock.forward(2)
    assert acquire("b")
    assert not acquire("a")


def test_a_process_that_is_dead_on_this_machine_is_gone_before_its_lease_expires(bench, tmp_path):
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    presence = leases.Presence(bench.database, bench.clock, 30)
    presence.renew(leases.Identity("me", "d", "worker", 0, 1))
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(
            "INSERT INTO rolehost_processes (id, deployment, role, slot, incarnation, host, pid,"
            " started_at, expires_at) SELECT 'dead', deployment, role, slot, incarnation, host, ?,"
            " started_at, expires_at FROM rolehost_processes",
            (child.pid,),
        )
    assert presence.ids(live=False) == ["dead"]


def test_a_crash_is_remembered_for_a_while(bench):
    def lately():
        return leases.crashed_recently(bench.database, "consumer", bench.clock.now())

    runtime = bench.make_runtime()
    leases.Presence(bench.database, bench.clock, 30).renew(
        leases.Identity("consumer.0.1-1", "d", "consumer", 0, 1)
    )
    assert not lately()
    bench.clock.forward(31)
    sweep.release_dead(runtime)
    assert lately()
    bench.clock.forward(leases.CRASH_MEMORY + 1)
    assert not lately()


def test_a_process_that_renews_just_before_it_is_given_up_keeps_what_it_holds(bench, monkeypatch):
    runtime = bench.make_runtime()
    presence = leases.Presence(bench.database, bench.clock, 30)
    me = leases.Identity("worker.0.1-1", "d", "worker", 0, 1)
    presence.renew(me)
    assert leases.acquire(bench.database, bench.clock, "relay:0", me.id, 60)
    bench.clock.forward(31)
    ids = leases.Presence.ids

    def late(self, *, live):
        gone = ids(self, live=live)
        presence.renew(me)
        return gone

    monkeypatch.setattr(leases.Presence, "ids", late)
    assert sweep.release_dead(runtime) == 0
    assert presence.ids(live=True) == [me.id]
    assert not leases.acquire(bench.database, bench.clock, "relay:0", "other", 60)


def test_rows_that_a_lost_host_has_locked_are_passed_over_and_handed_back_later(postgres):
    bench = postgres
    runtime = bench.make_runtime(plain)
    me = leases.Identity("worker.0.1-1", "d", "worker", 0, 1)
    leases.Presence(bench.database, bench.clock, 30).renew(me)
    with bench.unit_of_work() as work:
        work.enqueue_many(plain, [{"n": 1}, {"n": 2}])
    locked, free = bench.claim(me.id)
    assert leases.acquire(bench.database, bench.clock, "sweep", me.id, 30)
    bench.clock.forward(31)
    with bench.lost_host(
        f"UPDATE rolehost_jobs SET state = 'running' WHERE id = {locked.id}",
        "UPDATE rolehost_processes SET expires_at = expires_at + 1",
        "UPDATE rolehost_leases SET expires_at = expires_at + 1",
    ):
        assert not leases.acquire(bench.database, bench.clock, "sweep", "other", 30)
        assert sweep.release_dead(runtime) == 1
        assert sweep.release_dead(runtime) == 0, "nothing is left but locked rows"
        assert bench.job(free.id)["state"] == "available"
        assert bench.job(locked.id)["state"] == "claimed"
    assert sweep.release_dead(runtime) == 1
    assert bench.job(locked.id)["state"] == "available"
    assert leases.acquire(bench.database, bench.clock, "sweep", "other", 30)


def test_a_heartbeat_does_not_wait_for_a_lost_host_that_was_sweeping(postgres):
    bench = postgres
    presence = leases.Presence(bench.database, bench.clock, 30)
    me = leases.Identity("worker.0.1-1", "d", "worker", 0, 1)
    presence.renew(me)
    bench.clock.forward(20)
    with bench.lost_host("DELETE FROM rolehost_processes"):
        presence.renew(me)
    presence.renew(me)
    bench.clock.forward(20)
    assert presence.ids(live=True) == [me.id]


def test_no_manifest_waits_for_a_lost_host_that_stored_the_same_one(postgres, tmp_path):
    (tmp_path / "d.toml").write_text("plugins = []\n", "utf-8")
    manifest = describe(compose(load(tmp_path / "d.toml")))
    manifests.store(postgres.database, manifest, 1)
    with postgres.lost_host("UPDATE rolehost_manifests SET seen_at = 2"):
        manifests.store(postgres.database, manifest, 3)
    manifests.store(postgres.database, manifest, 4)
    with postgres.database.session():
        assert postgres.database.read("SELECT seen_at FROM rolehost_manifests") == [(4,)]
