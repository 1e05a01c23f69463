"""Parts of ``other-hosts``: a standby takes over, with all that was committed or without the end.

After an asynchronous failover the new server gives the ids of jobs again that the old one gave
after the last change which the standby has seen. Workers that hold such jobs must not end the new
jobs of the same ids.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from rolehost_testing.services import start

from benchmarks.postgres import execute
from tests.proofs import other_hosts_network
from tests.proofs.fault_proxy import FaultProxy
from tests.proofs.kills import processes
from tests.proofs.kit import Options, Task
from tests.proofs.other_hosts_ground import PATIENCE, THREADS, Fleet, audit, fleet
from tests.proofs.running import eventually

HOSTS = ("first", "second")

#: Seconds of the load before and, at least, after a failover.
LOAD = 3.0
#: Seconds for which the first host stays with the old server when the second one has moved.
APART = 3.0
#: Seconds until the standby has what was enqueued before.
SETTLED = 1.0
#: Seconds of jobs that hosts hold over the failover, until their ids are given again.
HELD = 10.0
#: Seconds of load after the standby has stopped to follow. A new server leaves out up to 32 ids.
BEHIND = 2.5
#: Seconds and priority of the jobs that take the ids again: they run when the old jobs end.
AGAIN, FIRST = 4.0, -10

_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
_SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


def synchronous(options: Options, task: Task) -> dict[str, Any]:
    """Crash a server whose commits wait for the standby; nothing is lost."""
    with start("postgres", standby=True) as server, fleet(server.url, HOSTS, options.seed) as hosts:
        execute(server.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        execute(server.url, "SELECT pg_reload_conf()")
        _wait_for(server.url, _SYNCHRONOUS)
        _during(LOAD)
        task.advance()
        server.stop(immediate=True)
        _promote(server.standby.url)
        hosts.url = server.standby.url
        for proxy in hosts.proxies.values():
            _move(proxy, hosts.url)
        hosts.goes_on("synchronous failover")
        _during(LOAD)
        counted = audit(hosts.url, hosts.clients)
        task.advance()
        counted.check()
    return {**counted._asdict(), **hosts.times()}


def asynchronous(options: Options, task: Task) -> dict[str, Any]:
    """Promote a standby that lacks the last changes, while hosts still use the old server."""
    with _delayed_standby(options.seed) as (server, replication):
        with fleet(server.url, HOSTS, options.seed) as hosts:
            old, new = server.url, server.standby.url
            if options.short:
                # Without a part of their own, which would start another server and fleet.
                for step in other_hosts_network.SHORT:
                    step(hosts, server)
            else:
                _during(LOAD)
            _wait_for(old, _STREAMING)
            for client in hosts.clients.values():
                client.phase = " old"
            _during(SETTLED)
            replication.hole()
            _during(BEHIND)
            held, began = _hold(hosts), time.monotonic()
            _during(LOAD)
            task.advance()

            replication.reset()
            _promote(new)
            hosts.url = new
            for name in ("second", "steady"):
                _move(hosts.proxies[name], new)
            steady = hosts.clients["steady"]
            steady.phase = " new"
            _give_again(hosts, held)
            _during(APART)
            for name in ("first", "client"):
                _move(hosts.proxies[name], new)
            hosts.clients["client"].phase = " new"
            hosts.goes_on("asynchronous failover")
            # After that, the old jobs have tried to store their ends.
            _during(max(0.0, began + HELD + 1.0 - time.monotonic()))
            task.advance()

            counted = audit(new, hosts.clients, lost_before=" old-")
            counted.check()
            return {**counted._asdict(), **_histories(hosts, held), **hosts.times()}


def _hold(hosts: Fleet) -> set[int]:
    """Let hosts run long jobs until the second host has one; return the ids of its jobs."""
    client = hosts.clients["steady"]
    workers = {f"-{pid}-" for pid, _ in processes(hosts.hosts["second"].pid)}
    for _ in range(len(HOSTS) * THREADS):
        job = client.acknowledged[client.enqueue("plain", HELD)]
        question = f"SELECT owner FROM rolehost_jobs WHERE id = {job} AND owner IS NOT NULL"
        _wait_for(hosts.url, question)
        [(owner,)] = execute(hosts.url, question)
        if any(pid in owner for pid in workers):
            return {job}
    raise AssertionError("the second host claimed no job")


def _give_again(hosts: Fleet, held: set[int]) -> None:
    """Enqueue long jobs with the ids of jobs that the second host, now alone here, holds."""
    # The ids between are left out, as a sequence may always do.
    sequence = "pg_get_serial_sequence('rolehost_jobs', 'id')"
    execute(hosts.url, f"SELECT setval({sequence}, {min(held) - 1})")
    client = hosts.clients["steady"]
    job = 0
    while job < max(held):
        job = client.acknowledged[client.enqueue("plain", AGAIN, priority=FIRST)]


def _histories(hosts: Fleet, held: set[int]) -> dict[str, int]:
    """Count what the old history had, and the ids that both gave."""
    there = {label for (label,) in execute(hosts.url, "SELECT label FROM proof_effects")}
    old: dict[str, int] = {}
    new: dict[str, int] = {}
    for client in hosts.clients.values():
        for label, job in client.acknowledged.items():
            (old if " old-" in label else new)[label] = job
    again = held & set(new.values())
    assert again, "the new history gave no id of a job that a worker of the old one held"
    return {
        "lost_with_the_old_history": len(old.keys() - there),
        "ids_given_again": len(set(old.values()) & set(new.values())),
        "held_ids_given_again": len(again),
    }


@contextmanager
def _delayed_standby(seed: int) -> Iterator[tuple[Any, FaultProxy]]:
    """Run a server with a standby, and a proxy between them."""
    with start("postgres", standby=True) as server:
        replication = FaultProxy(("127.0.0.1", server.port), random.Random(seed))
        try:
            standby = server.standby.url
            [(info,)] = execute(standby, "SHOW primary_conninfo")
            info = info.replace("'", "''").replace(
                f"port={server.port}", f"port={replication.port}"
            )
            execute(standby, f"ALTER SYSTEM SET primary_conninfo = '{info}'")
            execute(standby, "SELECT pg_reload_conf()")
            yield server, replication
        finally:
            replication.close()


def _promote(url: str) -> None:
    [(promoted,)] = execute(url, f"SELECT pg_promote(true, {PATIENCE:g})")
    assert promoted, "the standby was not promoted"


def _move(proxy: FaultProxy, url: str) -> None:
    proxy.point(("127.0.0.1", int(urlsplit(url).port or 0)))


def _wait_for(url: str, question: str) -> None:
    rows = eventually(lambda: execute(url, question), lambda rows: bool(rows and rows[0][0]))
    assert rows and rows[0][0], f"it did not come true: {question}"


def _during(seconds: float) -> None:
    threading.Event().wait(seconds)  # the duration of a load
