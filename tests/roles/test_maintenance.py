"""The heartbeat and the sweep, after the clock of the database was set."""

from __future__ import annotations

from rolehost.delivery.clock import DatabaseClock
from rolehost.delivery.leases import Identity, Presence
from rolehost.roles.background import PollingListener, background_loops
from rolehost.roles.beats import Beats


def test_a_process_that_sees_the_clock_set_lets_the_others_see_it_first(host, monkeypatch):
    here = host()
    database, clock = here.services.database, here.services.delivery.clock
    mine, other = (Identity(f"worker.{n}.1-{n}", "d", "worker", n, 1) for n in (0, 1))
    [loop, *_] = background_loops(
        here.composition,
        here.services,
        mine,
        lambda: ("ready", None),
        Beats(),
        lambda _: PollingListener(),
    )
    Presence(database, clock, 30).renew(other)
    loop.interrupt()
    loop.step()
    assert set(Presence(database, clock, 30).ids(live=True)) == {mine.id, other.id}

    measure = DatabaseClock.measure

    def set_once(self):
        monkeypatch.setattr(DatabaseClock, "measure", measure)
        self._offset += 3_600_000_000_000
        return 3600.0

    monkeypatch.setattr(DatabaseClock, "measure", set_once)
    for act in loop._due:
        loop._due[act] = 0.0
    loop.interrupt()
    loop.step()
    assert here.read("SELECT count(*) FROM rolehost_processes") == [(2,)]
