"""Part of ``other-hosts``: faults of the network between two hosts and their server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rolehost_testing.services import start

from tests.proofs.kit import Options, Task
from tests.proofs.other_hosts_ground import PACE, Fleet, audit, fleet

#: Hosts; the first one is lost in the middle of a transaction.
HOSTS = ("first", "second")

#: Share of COMMITs whose answer is cut; seconds of a delay in each direction, and the jobs per
#: second of a client meanwhile, because a job needs several round trips.
CUT, LATENCY, SLOW_PACE = 0.2, 0.01, 8.0

#: Statements after which the first host is lost, with its locks: it claims limited jobs.
TRAPS = (b"pg_try_advisory_xact_lock", b"UPDATE rolehost_limits")

#: Seconds of the faults; the long ones outlast TCP's patience and the leases.
SHORT_FAULT, LONG_FAULT = 4.0, 16.0

Step = Callable[[Fleet, Any], None]


def _during(seconds: float) -> None:
    threading.Event().wait(seconds)  # the duration of a fault


def _cut(fleet: Fleet, _: Any) -> None:
    """Cut the answers to a share of the COMMITs of hosts and client."""
    for proxy in fleet.proxies.values():
        proxy.cut = CUT
    _during(SHORT_FAULT)
    for proxy in fleet.proxies.values():
        proxy.cut = 0.0
    fleet.goes_on("cut")


def _silence(fleet: Fleet, _: Any) -> None:
    """Forget all connections of hosts and client; new ones work."""
    for name in (*HOSTS, "client"):
        fleet.proxies[name].forget()
    fleet.goes_on("silence")


def _hole(fleet: Fleet, _: Any) -> None:
    """Pass nothing for a while; what was sent meanwhile arrives late."""
    for name in (*HOSTS, "client"):
        fleet.proxies[name].hole()
    _during(LONG_FAULT)
    for name in (*HOSTS, "client"):
        fleet.proxies[name].heal()
    fleet.goes_on("black hole")


def _latency(fleet: Fleet, _: Any) -> None:
    """Delay the bytes of each direction. Before the faults after which jobs of keys wait."""
    for client in fleet.clients.values():
        client.pace = SLOW_PACE
    for name in (*HOSTS, "client"):
        fleet.proxies[name].latency = LATENCY
    fleet.goes_on("latency")
    for name in (*HOSTS, "client"):
        fleet.proxies[name].latency = 0.0
    for client in fleet.clients.values():
        client.pace = PACE


def _reset(fleet: Fleet, _: Any) -> None:
    """Reset all connections."""
    for proxy in fleet.proxies.values():
        proxy.reset()
    fleet.goes_on("reset")


def _lost(number: int) -> Step:
    """Return a step that loses the first host after a statement, with its locks, for a while."""

    def lose(fleet: Fleet, _: Any) -> None:
        proxy = fleet.proxies["first"]
        proxy.trap(TRAPS[number])
        assert proxy.sprung.wait(30.0), f"no transaction stayed open after {TRAPS[number]!r}"
        began = time.monotonic()
        fleet.goes_on(f"beside lost host {number}", HOSTS[1:])
        _during(max(0.0, LONG_FAULT - (time.monotonic() - began)))
        proxy.heal()
        fleet.goes_on(f"lost host {number}")

    return lose


def _restart(fleet: Fleet, server: Any) -> None:
    """Crash the server and start it again."""
    server.stop(immediate=True)
    _during(SHORT_FAULT)
    server.run()
    fleet.goes_on("server restarted")


def _freeze(fleet: Fleet, server: Any) -> None:
    """Freeze the server: connections stay open, new ones get no answer."""
    server.freeze()
    _during(LONG_FAULT)
    server.thaw()
    fleet.goes_on("server frozen")


SHORT: Sequence[Step] = (_cut, _silence)
FULL: Sequence[Step] = (
    _latency, _cut, _silence, _hole, _reset, *map(_lost, range(len(TRAPS))), _restart, _freeze,
)  # fmt: skip


def measure(options: Options, task: Task) -> dict[str, Any]:
    """Cause the faults one after the other; return what was counted."""
    with start("postgres") as server, fleet(server.url, HOSTS, options.seed) as hosts:
        for step in FULL:
            step(hosts, server)
            task.advance()
        counted = audit(server.url, hosts.clients)
        counted.check()
        cut = sum(proxy.commits_cut for proxy in hosts.proxies.values())
        assert cut, "no answer to a COMMIT was cut"
    return {**counted._asdict(), "commits_cut": cut, **hosts.times()}
