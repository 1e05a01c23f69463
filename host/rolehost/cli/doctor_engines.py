"""What ``rolehost doctor`` asks the engines of a deployment; changes nothing in them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rolehost.cli.doctor_lines import Line, fail, ok, warn
from rolehost.delivery import tickstate
from rolehost.errors import ConfigurationError, StorageError
from rolehost.schema import HOST_SET, Set, status
from rolehost.services import ProcessServices
from rolehost.storage import About, Database, Kind

#: Seconds after which an engine that has not answered is given up.
PATIENCE = 15.0

#: Milliseconds above which an answer is slow: a job or a request needs several.
SLOW = 50.0

#: Seconds by which clocks may differ: leases and schedules compare them.
SKEW, LARGE_SKEW = 1.0, 5.0

#: Bytes below which a disk is short of room, and below which it is as good as full.
ROOM, LITTLE = 2**30, 2**27

_SQL = {
    "sqlite": "SELECT 'SQLite ' || sqlite_version(), NULL",
    "postgresql": "SELECT 'PostgreSQL ' || current_setting('server_version'),"
    " CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}


def engines(services: ProcessServices, sets: Sequence[Set]) -> Iterator[Line]:
    """Ask each engine for a sign of life, its version and its time; then look into the database.

    Args:
        services: of a process that was not started.
        sets: the plugins' migrations: owner and package of each.
    """
    for kind, name in services.backends.items():
        yield from _engine(services, kind, name)
    if "database" in services.backends:
        yield from _database(services.database, sets)
        names = {owned.value.name for owned in services.composition.schedules}
        yield from _schedules(services, names)


def _engine(services: ProcessServices, kind: Kind, name: str) -> Iterator[Line]:
    subject = f"{kind} {name}"
    answers: list[float] = []
    told: list[tuple[About | None, float]] = []

    def ask() -> None:
        backend = getattr(services, kind)
        for _ in range(3):  # the first one connects
            began = time.perf_counter()
            backend.ping()
            answers.append((time.perf_counter() - began) * 1000)
        before = time.time()
        about = _about(backend)
        told.append((about, (before + time.time()) / 2 * 1000))

    error = _within(PATIENCE, ask)
    if error is not None:
        setting = getattr(error, "setting", None)
        fix = f"as it says; it is set in {setting}" if setting else "as it says"
        if kind in services.optional:
            yield warn(subject, f"{_line(error)} (optional: the service goes on without it)", fix)
        else:
            yield fail(subject, _line(error), fix)
        return
    about, middle = told[0]
    text = f"{about.version if about else 'answers'} in {min(answers):.1f} ms"
    text += f", the first time in {answers[0]:.1f} ms"
    if min(answers) > SLOW:
        yield warn(subject, text, "bring it nearer: every request and job asks it several times")
    else:
        yield ok(subject, text)
    if about is not None and about.now is not None:
        yield _clock(subject, (about.now - middle) / 1000)


def _about(backend: Any) -> About | None:
    if isinstance(backend, Database):
        with backend.session():
            ((version, now),) = backend.read(_SQL[backend.dialect])
        return About(str(version), None if now is None else int(now))
    told: About | None = backend.about()
    return told


def _clock(subject: str, ahead: float) -> Line:
    text = f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    fix = "synchronise both (chrony, systemd-timesyncd): leases and schedules compare them"
    if abs(ahead) > LARGE_SKEW:
        return fail(f"clock of {subject}", text, fix)
    if abs(ahead) > SKEW:
        return warn(f"clock of {subject}", text, fix)
    return ok(f"clock of {subject}", text)


def _database(database: Database, sets: Sequence[Set]) -> Iterator[Line]:
    try:
        with database.session():
            yield from _migrations(database, sets)
            if database.dialect == "sqlite":
                yield from _disk(database)
    except StorageError:
        return  # told above


def _schedules(services: ProcessServices, names: set[str]) -> Iterator[Line]:
    try:
        states = tickstate.read(services.database)
    except StorageError:
        return  # told above
    for name in sorted(names & states.keys()):
        for problem in tickstate.problems(states[name], services.clock.now()):
            yield warn("schedule", problem.what, problem.fix)


def _migrations(database: Database, sets: Sequence[Set]) -> Iterator[Line]:
    try:
        found = status(database, [HOST_SET, *sets])
    except ConfigurationError as error:
        yield fail("migrations", error.problems[0].what, error.problems[0].fix)
        return
    late = [line for line in found if line.state == "pending" and line.phase == "pre"]
    later = [line for line in found if line.state == "pending" and line.phase == "post"]
    changed = [line for line in found if line.state == "changed"]
    owners = {owner for owner, _ in (HOST_SET, *sets)}
    newer = [line for line in found if line.state == "gone" and line.owner in owners]
    if newer:
        names = ", ".join(f"{line.owner}/{line.number:04d}" for line in newer)
        fix = "run the version of the code that applied them, or take them back with it"
        tell = fail if any(line.phase == "post" for line in newer) else warn
        yield tell("migrations", f"applied, and unknown to this older code: {names}", fix)
    names = ", ".join(f"{line.owner}/{line.number:04d}" for line in (*changed, *late, *later))
    if changed:
        fix = "restore the files that were applied; put changes into new ones"
        yield fail("migrations", f"changed after they were applied: {names}", fix)
    elif late:
        yield fail("migrations", f"pending: {names}", "rolehost migrate up")
    elif later:
        fix = "rolehost migrate up --phase post, when no older process runs any more"
        yield warn("migrations", f"pending: {names}", fix)
    else:
        yield ok("migrations", f"all {len(found)} are applied")


def _disk(database: Database) -> Iterator[Line]:
    file = next((row[2] for row in database.read("PRAGMA database_list") if row[2]), "")
    if not file:
        return  # in memory
    usage = shutil.disk_usage(Path(file).parent)
    text = f"{usage.free / 2**30:.1f} GiB free for {file}"
    fix = "make room, or move it: [embedded] path"
    if usage.free < LITTLE:
        yield fail("disk", text, fix)
    elif usage.free < ROOM:
        yield warn("disk", text, fix)
    else:
        yield ok("disk", text)


def _within(seconds: float, ask: Callable[[], None]) -> Exception | None:
    """Run something in a thread; return what it raised, or that it took too long."""
    failed: list[Exception] = []
    over = threading.Event()

    def run() -> None:
        try:
            ask()
        except Exception as error:  # whatever it is, that is what a doctor is asked for
            failed.append(error)
        finally:
            over.set()

    threading.Thread(target=run, name="asks an engine", daemon=True).start()
    if not over.wait(seconds):
        return TimeoutError(f"no answer within {seconds:g} s")
    return failed[0] if failed else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
