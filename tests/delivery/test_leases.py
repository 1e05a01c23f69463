"""Named leases: one owner at a time, a token that rises with each change of owner."""

from __future__ import annotations

from rolehost.delivery import leases, sweep


def test_a_lease_has_one_owner_until_it_expires(bench):
    def acquire(owner):
        return leases.acquire(bench.database, bench.clock, "relay:0", owner, 10)

    assert acquire("a") == 1
    assert acquire("b") is None
    assert acquire("a") == 1, "prolonging keeps the token"
    bench.clock.forward(9)
    assert acquire("a") == 1
    bench.clock.forward(9)
    assert acquire("b") is None, "prolonged from the last renewal"
    bench.clock.forward(2)
    assert acquire("b") == 2
    assert acquire("a") is None


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
    assert leases.acquire(bench.database, bench.clock, "relay:0", me.id, 60) == 1
    bench.clock.forward(31)
    ids = leases.Presence.ids

    def late(self, *, live):
        gone = ids(self, live=live)
        presence.renew(me)
        return gone

    monkeypatch.setattr(leases.Presence, "ids", late)
    assert sweep.release_dead(runtime) == 0
    assert presence.ids(live=True) == [me.id]
    assert leases.acquire(bench.database, bench.clock, "relay:0", "other", 60) is None
