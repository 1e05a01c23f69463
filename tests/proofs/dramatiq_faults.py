"""Test our queue for five known faults of Dramatiq on Redis, with bare Dramatiq for comparison."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from redis import Redis
from rolehost_testing import services
from rolehost_testing.services import Server

from tests.proofs import faults_bare, faults_plugin
from tests.proofs.kit import ROOT, Figures, Options, Unavailable
from tests.proofs.running import READY, running

PROMISE = (
    "The queue on Redis has none of the five known faults of Dramatiq on Redis: delayed messages"
    " stranded by an outage, others stranded by poison, a long job run twice, a short delay"
    " behind long ones, a killed worker found late"
)
DURATION = "about 2 minutes"

#: Timeout in seconds for events that must happen.
PATIENCE = 60.0
#: Seconds in which bare Dramatiq may still pass unexpectedly.
CHANCE = 3.0
#: Messages besides the poison message, or delayed across the outage; fewer than the prefetch.
FEW = 15
DELAYED = 20


class Size(NamedTuple):
    """The size of a run.

    Attributes:
        lease: ``[redis] message_lease`` in seconds, also the heartbeat of bare Dramatiq.
        outage: downtime of Redis in seconds.
        behind: messages with a long delay; more than the bare worker prefetches.
        threads: threads of the bare worker for comparison.
        long: the long delay in seconds.
        watched: seconds to wait for the bare worker's message with a short delay.
    """

    lease: float
    outage: float
    behind: int
    threads: int
    long: float
    watched: float


FULL = Size(lease=10, outage=12, behind=2100, threads=2, long=40, watched=45)
SHORT = Size(lease=1, outage=4, behind=1050, threads=1, long=30, watched=6)


def prove(options: Options) -> Figures:
    """Run the checks one after the other; each compares our queue with bare Dramatiq."""
    size = SHORT if options.short else FULL
    checks = (_poison, _short_delay, _long_job, _killed, _outage)
    task = options.progress(len(checks), "faults")
    figures: dict[str, Any] = {"seed": options.seed, "message_lease_seconds": size.lease}
    try:
        with _playground(size) as ground:
            for check in checks:
                task.relabel(check.__name__.strip("_").replace("_", " "))
                figures |= check(ground)
                task.advance()
    except services.Missing as missing:
        raise Unavailable(str(missing)) from missing
    return figures


class Notes:
    """The recorded runs, read from the file to which the workers append."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, label: str, what: str) -> list[tuple[str, int, float]]:
        """Return (label, process, monotonic seconds) of the runs with this prefix of the label."""
        if not self.path.exists():
            return []
        split = (line.split() for line in self.path.read_text().splitlines())
        return [
            (name, int(pid), float(at))
            for name, said, pid, at in split
            if name.startswith(label) and said == what
        ]

    def count(self, label: str, what: str = "ended") -> int:
        """Return the number of different labels."""
        return len({name for name, *_ in self.lines(label, what)})

    def until(self, label: str, count: int, what: str = "ended", within: float = PATIENCE) -> bool:
        """Wait for this number of different labels; return whether they came."""
        deadline = time.monotonic() + within
        while self.count(label, what) < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def last(self, label: str) -> float:
        """Return when the last run ended, in monotonic seconds."""
        return max(at for *_, at in self.lines(label, "ended"))


class Ground(NamedTuple):
    """The environment of the checks.

    Attributes:
        size: the size of this run.
        server: the Redis server of all checks.
        notes: the runs of both sides.
        services: the services of our deployment with two running workers.
        folder: a temporary folder.
    """

    size: Size
    server: Server
    notes: Notes
    services: Any
    folder: Path

    def send(self, label: str, *, delay: float | None = None, **arguments: Any) -> None:
        """Send a message to our ephemeral actor."""
        self.services.send(faults_plugin.passing, delay=delay, label=label, **arguments)

    @contextmanager
    def bare(self, *, threads: int = 8, workers: int = 1, heartbeat: float = 0) -> Iterator[Any]:
        """Run bare Dramatiq workers; yield their actor.

        The block starts when the workers are ready.
        """
        namespace = f"bare-{secrets.token_hex(4)}"
        milliseconds = int(heartbeat * 1000)
        arguments = [self.server.url, namespace, str(threads), str(milliseconds)]
        command = [sys.executable, "-m", "tests.proofs.faults_bare", *arguments]
        environ = {faults_plugin.NOTES: str(self.notes.path)}
        with ExitStack() as stack:
            started = [stack.enter_context(running(command, ROOT, environ)) for _ in range(workers)]
            for each in started:
                each.until("ready")
            yield faults_bare.declare(self.server.url, namespace, milliseconds)


@contextmanager
def _playground(size: Size) -> Iterator[Ground]:
    """Start Redis, and a deployment of two workers that uses it as queue."""
    from rolehost.composition import compose
    from rolehost.deployment import load
    from rolehost.services import ProcessServices

    with (
        TemporaryDirectory(prefix="rolehost-proof-") as temporary,
        services.start("redis") as redis,
    ):
        folder = Path(temporary)
        notes = Notes(folder / "notes")
        path = folder / "proof.toml"
        path.write_text(
            'plugins = ["embedded", "redis", "faults"]\n'
            '[storage]\nqueue = "redis"\n'
            f'[embedded]\npath = "{folder}/service.db"\n'
            f'[redis]\nurl = "{redis.url}"\nmessage_lease = {size.lease}\n'
            "[worker]\nprocesses = 2\n"
        )
        environ = {faults_plugin.NOTES: str(notes.path), "PYTHONPATH": f"{_site(folder)}:{ROOT}"}
        command = [sys.executable, "-m", "rolehost", "run", str(path)]
        with running(command, folder, environ) as host:
            host.until(READY)
            composition = compose(load(path), extra={"faults": faults_plugin.plugin})
            ours = ProcessServices(composition, role="command")
            try:
                yield Ground(size, redis, notes, ours, folder)
            finally:
                ours.close()


def _site(folder: Path) -> Path:
    """Write the distribution metadata of the plugin; return the folder."""
    metadata = folder / "site" / "rolehost_faults-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rolehost-faults\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[rolehost]\nfaults = tests.proofs.faults_plugin:plugin\n"
    )
    return metadata.parent


def _poison(ground: Ground) -> Figures:
    """Bytes that are no message stand before others that are fetched with them."""
    notes, queue = ground.notes, ground.services.queue
    with ground.bare() as bare, Redis.from_url(ground.server.url) as raw:
        keys = f"{bare.broker.namespace}:faults"
        raw.hset(f"{keys}.msgs", "poison", b"\xff\x00 no message")
        with raw.pipeline() as pipeline:
            pipeline.rpush(keys, "poison")
            for number in range(FEW):
                message = bare.message(f"bare-poison-{number}", 0.0, False)
                pipeline.hset(f"{keys}.msgs", message.message_id, message.encode())
                pipeline.rpush(keys, message.message_id)
            pipeline.execute()
        queue.broker().store.put("faults.ephemeral", b"\xff\x00 no message", 0)
        for number in range(FEW):
            ground.send(f"ours-poison-{number}")
        assert notes.until("ours-poison", FEW), "poison stranded other messages"
        dead = [each.data for each in queue.dead_messages(10)]
        assert dead == [b"\xff\x00 no message"], f"the poison is not among the dead: {dead}"
        notes.until("bare-poison", FEW, within=CHANCE)
    return {"poison_ours_stranded": 0, "poison_bare_stranded": FEW - notes.count("bare-poison")}


def _short_delay(ground: Ground) -> Figures:
    """A delay of one second stays one second if many messages have longer delays."""
    size, notes = ground.size, ground.notes
    with ground.bare(threads=size.threads) as bare:
        for number in range(size.behind):
            ground.send(f"ours-long-{number}", delay=3600)
            long = (f"bare-long-{number}", 0.0, False)
            bare.send_with_options(args=long, delay=int(size.long * 1000))
        sent = time.monotonic()
        ground.send("ours-short", delay=1)
        bare.send_with_options(args=("bare-short", 0.0, False), delay=1000)
        assert notes.until("ours-short", 1), "a short delay waited behind long ones"
        ours = notes.last("ours-short") - sent
        assert ours < size.long / 2, f"a delay of 1 s took {ours:.1f} s"
        came = notes.until("bare-short", 1, within=size.watched)
        bare_took = notes.last("bare-short") - sent if came else 0.0
    ground.services.queue.broker().flush("faults.ephemeral")
    return {
        "one_second_delay_behind": size.behind,
        "delay_ours_seconds": round(ours, 2),
        "delay_bare_seconds": round(bare_took, 2) if came else f"over {size.watched:g}",
    }


def _long_job(ground: Ground) -> Figures:
    """A job that holds the interpreter for longer than the lease runs once."""
    size, notes = ground.size, ground.notes
    seconds = 2.5 * size.lease
    with ground.bare(workers=2, heartbeat=size.lease) as bare:
        ground.send("ours-hold", seconds=seconds, hold=True)
        bare.send("bare-hold", seconds, True)
        assert notes.until("ours-hold", 1), "the long job did not end"
        # Give another worker the chance to run it too.
        threading.Event().wait(size.lease)
        runs = len(notes.lines("ours-hold", "began"))
        assert runs == 1, f"a job that held the interpreter for {seconds} s ran {runs} times"
        bare_runs = len(notes.lines("bare-hold", "began"))
    return {
        "interpreter_held_seconds": seconds,
        "held_ours_runs": runs,
        "held_bare_runs": bare_runs,
    }


def _killed(ground: Ground) -> Figures:
    """The messages of a killed worker are redelivered within a known time."""
    size, notes = ground.size, ground.notes
    with ground.bare(workers=2) as bare:
        for number in range(2 * FEW):
            ground.send(f"ours-killed-{number}", seconds=1.0)
            bare.send(f"bare-killed-{number}", 1.0, False)
        assert notes.until("ours-killed", 1, "began"), "nothing was taken"
        assert notes.until("bare-killed", 1, "began"), "Dramatiq took nothing"
        for label in ("ours-killed", "bare-killed"):
            os.kill(notes.lines(label, "began")[0][1], signal.SIGKILL)
        killed = time.monotonic()
        assert notes.until("ours-killed", 2 * FEW), "a killed worker's messages did not come back"
        ours = notes.last("ours-killed") - killed
        # The lease, a quarter of it until the next check, and the work itself.
        longest = 1.25 * size.lease + 10
        assert ours < longest, f"a killed worker's messages came back after {ours:.1f} s"
        notes.until("bare-killed", 2 * FEW, within=CHANCE)
        missing = 2 * FEW - notes.count("bare-killed")
    return {
        "killed_ours_all_done_after_seconds": round(ours, 1),
        "killed_bare_missing_then": missing,
    }


def _outage(ground: Ground) -> Figures:
    """Messages due in an outage run after it; durable jobs run during the outage."""
    size, notes = ground.size, ground.notes
    delay = 2.0
    with ground.bare() as bare:
        for number in range(DELAYED):
            ground.send(f"ours-outage-{number}", delay=delay)
            ground.services.enqueue(
                faults_plugin.lasting, label=f"durable-outage-{number}", delay=delay
            )
            bare.send_with_options(args=(f"bare-outage-{number}", 0.0, False), delay=2000)
        threading.Event().wait(delay / 2)  # so that bare Dramatiq prefetches the messages
        ground.server.stop(immediate=True)
        stopped = time.monotonic()
        assert notes.until("durable-outage", DELAYED), "durable jobs did not run"
        durable = notes.last("durable-outage") - stopped
        threading.Event().wait(max(0.0, size.outage - (time.monotonic() - stopped)))
        ground.server.run()
        back = time.monotonic()
        assert notes.until("ours-outage", DELAYED), "delayed messages were stranded by an outage"
        ours = notes.last("ours-outage") - back
        notes.until("bare-outage", DELAYED, within=2 * CHANCE)  # Dramatiq pauses for 3 s
        stranded = DELAYED - notes.count("bare-outage")
    return {
        "outage_seconds": size.outage,
        "outage_ours_all_done_after_seconds": round(ours, 2),
        "outage_durable_all_done_within_outage": durable < size.outage,
        "outage_bare_stranded": stranded,
    }
