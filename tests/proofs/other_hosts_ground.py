"""Hosts that share a PostgreSQL, each behind a proxy of its own; clients; and what is counted."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from rolehost.api import StorageUnavailable
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.services import ProcessServices

from benchmarks.deployments import Place, migrate, place
from benchmarks.postgres import execute
from tests.proofs import other_hosts_plugin
from tests.proofs.fault_proxy import FaultProxy
from tests.proofs.running import READY, Running, eventually, running

PLUGIN = "proof-hosts"

#: Seconds until every thread of every worker must run jobs after the engine is back.
GOAL = 15.0
#: Seconds to wait for that, and for the last job to end.
PATIENCE = 60.0

#: Threads of a host's worker; settings of its leases in seconds.
THREADS, LEASE, HEARTBEAT = 2, 10.0, 2.0

#: Jobs per second of a client, and seconds of a job.
PACE, DURATION = 20.0, 0.04
#: Tenants, and keys, of the jobs with a limit.
TENANTS, KEYS = 8, 4
#: Kinds of jobs, in turns.
KINDS = tuple(each.name for each in other_hosts_plugin.ACTORS)

EFFECTS = (
    "CREATE TABLE proof_effects (id BIGINT GENERATED ALWAYS AS IDENTITY, label TEXT, job BIGINT,"
    " kind TEXT, host TEXT, thread BIGINT,"
    " at DOUBLE PRECISION DEFAULT extract(epoch FROM clock_timestamp()))"
)
_UNFINISHED = (
    "SELECT count(*) FROM rolehost_jobs WHERE state NOT IN ('completed', 'dead', 'cancelled')"
)
_DEAD = "SELECT count(*) FROM rolehost_jobs WHERE state = 'dead'"
#: Completed jobs that have not run: no row of the job has its label.
_NEVER_RAN = (
    "SELECT count(*) FROM rolehost_jobs j WHERE state = 'completed' AND NOT EXISTS (SELECT 1 FROM"
    " proof_effects e WHERE e.job = j.id"
    " AND e.label = convert_from(j.arguments, 'UTF8')::json->>'label')"
)
#: Rows of jobs that this history does not have.
_FOREIGN = (
    "SELECT count(*) FROM proof_effects e WHERE NOT EXISTS (SELECT 1 FROM rolehost_jobs j"
    " WHERE j.id = e.job AND e.label = convert_from(j.arguments, 'UTF8')::json->>'label')"
)
_DISORDERED = (
    "SELECT count(*) FROM (SELECT e.job, lag(e.job) OVER (PARTITION BY j.key ORDER BY e.id) AS last"
    " FROM proof_effects e JOIN rolehost_jobs j ON j.id = e.job WHERE j.key IS NOT NULL) AS runs"
    " WHERE job < last"
)


def at_port(url: str, port: int) -> str:
    """Return the URL of a server with another port of 127.0.0.1."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))


def deployment(folder: Path, url: str, host: str) -> Place:
    """Write the deployment of one host; its environment has the host's name."""
    made = place(
        folder / host,
        {PLUGIN: "tests.proofs.other_hosts_plugin"},
        ["postgres"],
        postgres={"url": url},
        worker={"processes": 1, "threads": THREADS},
        delivery={"lease": LEASE, "heartbeat": HEARTBEAT},
    )
    return Place(made.folder, made.file, {**made.env, other_hosts_plugin.HOST: host})


def command(made: Place) -> list[str | Path]:
    """Return the command of a host that works."""
    return [sys.executable, "-m", "rolehost", "run", made.file, "--role", "worker"]


class Client:
    """Enqueues jobs at a steady pace, in a thread, each under a label of its own.

    Attributes:
        acknowledged: label → id of the job, in the order of the acknowledgements.
        uncertain: labels whose enqueueing failed; their jobs may exist.
    """

    def __init__(self, name: str, made: Place) -> None:
        composed = compose(load(made.file), extra={PLUGIN: other_hosts_plugin})
        self._services = ProcessServices(composed, role="command")
        self._name = name
        #: Jobs per second, and seconds of a job, from now on.
        self.pace, self.duration = PACE, DURATION
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: dict[str, int] = {}
        self.uncertain: set[str] = set()
        #: Part of the labels from now on.
        self.phase = ""

    def start(self) -> None:
        """Begin to enqueue."""
        self._thread.start()

    def stop(self) -> None:
        """Enqueue no more. Idempotent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._services.close()

    def enqueue(self, kind: str, seconds: float, **options: Any) -> str:
        """Try once to enqueue a job; return its label."""
        label = f"{self._name}{self.phase}-{next(self._numbers)}"
        try:
            job = self._services.enqueue(kind, label=label, seconds=seconds, **options)
            self.acknowledged[label] = job.id
        except StorageUnavailable:
            self.uncertain.add(label)
        return label

    def _run(self) -> None:
        due = time.monotonic()
        for number in itertools.count():
            # After an outage it does not catch up.
            due = max(due + 1 / self.pace, time.monotonic() - 1 / self.pace)
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            kind = KINDS[number % len(KINDS)]
            options = {}
            if kind == "keyed":
                options = {"key": f"{self._name} {number // len(KINDS) % KEYS}"}
            elif kind == "shared":
                options = {"tenant": f"tenant {number // len(KINDS) % TENANTS}"}
            self.enqueue(kind, self.duration, **options)


@dataclass
class Fleet:
    """The hosts, and the clients.

    Attributes:
        url: the server of the history that counts.
        chance: the source of random choices.
        proxies: the proxy of each host, and ``client``: that of the client that suffers too.
        hosts: by name.
        clients: ``steady``, which no fault of a network disturbs, and ``client``.
        recovered: seconds until all threads ran jobs again, by fault.
    """

    url: str
    chance: random.Random
    proxies: dict[str, FaultProxy] = field(default_factory=dict)
    hosts: dict[str, Running] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    recovered: dict[str, float] = field(default_factory=dict)

    def goes_on(self, name: str, hosts: Sequence[str] = ()) -> None:
        """Measure the seconds from now until all threads of these hosts run jobs of each kind.

        Raises:
            AssertionError: they do not.
        """
        now = time.time()
        wanted = set(hosts or self.hosts)

        def missing() -> dict[str, Any]:
            return _missing(self.url, now, wanted)

        left = eventually(missing, lambda found: not found, seconds=PATIENCE)
        self.recovered[name] = took = round(time.time() - now, 1)
        assert not left, f"{name}: after {took} s hosts do not run jobs: {left}\n{self.said()}"
        assert took <= GOAL, f"{name}: the hosts ran jobs again after {took} s\n{self.said()}"

    def times(self) -> dict[str, Any]:
        """Return the seconds after each fault, and the most of them."""
        return {"slowest": max(self.recovered.values()), "recovered": self.recovered}

    def said(self) -> str:
        """Return the last lines of all hosts."""
        tails = {name: host.output.splitlines()[-12:] for name, host in self.hosts.items()}
        return "\n".join(f"{name}: {line}" for name, lines in tails.items() for line in lines)


def _missing(url: str, since: float, hosts: set[str]) -> dict[str, Any]:
    """Return what hosts have run since then, for those of which a thread or a kind is missing."""
    rows = execute(
        url,
        "SELECT host, count(DISTINCT thread), array_agg(DISTINCT kind) FROM proof_effects"
        f" WHERE at > {since} GROUP BY host",
    )
    found = {host: (threads, kinds) for host, threads, kinds in rows}
    return {
        host: found.get(host)
        for host in hosts
        if host not in found or found[host][0] < THREADS or len(found[host][1]) < len(KINDS)
    }


#: Starts a host; takes a stack for what ends with it, a folder, and the name of the host.
Launch = Callable[["Fleet", ExitStack, Path, str], Running]


def behind_proxy(made: Fleet, stack: ExitStack, folder: Path, name: str) -> Running:
    """Start a host of this machine that reaches the server through a proxy of its own."""
    place = deployment(folder, _through_proxy(made, stack, name), name)
    return stack.enter_context(running(command(place), place.folder, place.env))


def _through_proxy(made: Fleet, stack: ExitStack, name: str) -> str:
    port = int(urlsplit(made.url).port or 0)
    proxy = FaultProxy(("127.0.0.1", port), random.Random(made.chance.random()))
    made.proxies[name] = proxy
    stack.callback(proxy.close)
    return at_port(made.url, proxy.port)


@contextmanager
def fleet(
    url: str, hosts: Sequence[str], seed: int, launch: Launch = behind_proxy
) -> Iterator[Fleet]:
    """Run these hosts and two clients on a new database during the block."""
    made = Fleet(url, random.Random(seed))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rolehost-hosts-")))
        migrate(deployment(folder, url, "admin"))
        execute(url, EFFECTS)
        for name in ("client", "steady"):
            place = deployment(folder, _through_proxy(made, stack, name), name)
            made.clients[name] = client = Client(name, place)
            stack.callback(client.close)
        for name in hosts:
            made.hosts[name] = launch(made, stack, folder, name)
        for host in made.hosts.values():
            host.until(READY)
        for client in made.clients.values():
            client.start()
        made.goes_on("start")
        yield made


class Audit(NamedTuple):
    """What became of the jobs.

    Attributes:
        acknowledged: jobs whose enqueueing was acknowledged.
        uncertain: jobs whose enqueueing failed for the client.
        effects: rows that jobs have written.
        lost: acknowledged jobs without a row.
        doubled: rows too many.
        foreign: rows of jobs that this history of the database does not have.
        never_ran: completed jobs that have written no row.
        disordered: rows of a key that follow one of a later job.
        dead: dead letters.
    """

    acknowledged: int
    uncertain: int
    effects: int
    lost: int
    doubled: int
    foreign: int
    never_ran: int
    disordered: int
    dead: int

    def check(self) -> None:
        """Raise AssertionError unless each acknowledged job ran once."""
        wrong = {name: count for name, count in self._asdict().items() if name in _ZERO and count}
        assert not wrong, f"{wrong}: {self}"


_ZERO = ("lost", "doubled", "foreign", "never_ran", "disordered", "dead")


def audit(url: str, clients: Mapping[str, Client], lost_before: str = "") -> Audit:
    """Wait until all jobs have ended, and count.

    ``lost_before``: labels of this phase may be lost with their history.
    """
    for client in clients.values():
        client.stop()
    left = eventually(lambda: execute(url, _UNFINISHED), lambda rows: not rows[0][0],
                      seconds=PATIENCE)  # fmt: skip
    states = "SELECT actor, state, owner, count(*) FROM rolehost_jobs GROUP BY 1, 2, 3"
    assert not left[0][0], f"jobs did not end in {PATIENCE:g} s: {execute(url, states)}"
    labels = [label for (label,) in execute(url, "SELECT label FROM proof_effects")]
    acknowledged = {label for each in clients.values() for label in each.acknowledged}
    uncertain = {label for each in clients.values() for label in each.uncertain}
    lasting = {each for each in acknowledged if not (lost_before and lost_before in each)}
    never_ran, foreign, disordered, dead = (
        execute(url, sql)[0][0] for sql in (_NEVER_RAN, _FOREIGN, _DISORDERED, _DEAD)
    )
    return Audit(
        acknowledged=len(acknowledged),
        uncertain=len(uncertain),
        effects=len(labels),
        lost=len(lasting - set(labels)),
        doubled=len(labels) - len(set(labels)),
        foreign=foreign,
        never_ran=never_ran,
        disordered=disordered,
        dead=dead,
    )
