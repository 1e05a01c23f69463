"""The checks of ``rolehost doctor``. They change nothing."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import rolehost
from rolehost.composition import Composition
from rolehost.errors import ConfigurationError, StartError, StorageError
from rolehost.schema import HOST_SET, Set, status
from rolehost.storage import Database, Kind, ServerInfo

from rolehost_fleet.commands import vacuum_checks

if TYPE_CHECKING:
    from rolehost.services import ProcessServices

#: Minimum limit of open files: each connection of a client or to a backend is one.
MIN_FILES = 1024

#: Seconds to wait for the answer of a backend.
ENGINE_TIMEOUT = 15.0

#: Milliseconds above which an answer is slow: a job or a request waits for several answers.
SLOW_ANSWER = 50.0

#: Clock difference in seconds: above the first number a warning, above the second a failure. For
#: the database it is never a failure, because processes use the clock of the database.
SKEW, LARGE_SKEW = 1.0, 5.0

#: Free bytes on the disk: below the first number a warning, below the second a failure.
FREE_WARN, FREE_FAIL = 2**30, 2**27

_SQL = {
    "sqlite": "SELECT 'SQLite ' || sqlite_version(), NULL",
    "postgresql": "SELECT 'PostgreSQL ' || current_setting('server_version'),"
    " CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}


Level = Literal["ok", "warn", "fail"]


class Line(NamedTuple):
    """The result of one check.

    Attributes:
        level: ``fail``: the deployment does not work; ``warn``: it works, with a risk.
        subject: one or two words, for example ``open files``.
        text: the result.
        fix: how to fix it; empty if nothing is wrong.
    """

    level: Level
    subject: str
    text: str
    fix: str = ""


def versions(composition: Composition | None) -> Iterator[Line]:
    """Yield the versions of Python, the host and the enabled plugins."""
    yield Line("ok", "python", f"{platform.python_implementation()} {platform.python_version()}")
    yield Line("ok", "host", f"rolehost {rolehost.__version__}")
    for plugin in composition.plugins if composition else ():
        yield Line("ok", f"plugin {plugin.name}", f"{plugin.distribution} {plugin.version}")


def open_files() -> Line:
    """Check the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Line("ok", "open files", "no limit")
    if soft >= MIN_FILES:
        return Line("ok", "open files", str(soft))
    most = "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}"
    fix = f"ulimit -n {MIN_FILES} or more (systemd: LimitNOFILE=)"
    return Line("warn", "open files", f"{soft} ({most})", fix)


def address(bind: str) -> Line:
    """Check that the role ``http`` can listen."""
    if bind.startswith("unix:"):
        folder = Path(bind.removeprefix("unix:")).parent
        if os.access(folder, os.W_OK):
            return Line("ok", "address", f"{bind} can be made")
        fix = "make the folder and let this user write there, or change [http] bind"
        return Line("fail", "address", f"{bind}: no writable folder {folder}", fix)
    from rolehost.roles.http.listener import open_listener

    try:
        open_listener(bind).close()
    except StartError as error:
        fix = "nothing, if this deployment runs there; otherwise change [http] bind"
        return Line("warn", "address", _one_line(error), fix)
    return Line("ok", "address", f"{bind} is free")


def engines(services: ProcessServices, migrate: str) -> Iterator[Line]:
    """Check each backend, then the schema, the disk and the schedules of the database.

    Args:
        services: the services of a process that was not started.
        migrate: the command line that applies migrations.
    """
    for kind, name in services.backends.items():
        yield from _engine(services, kind, f"{kind} {name}")
    if "database" not in services.backends:
        return
    try:
        with services.database.session():
            sets = services.composition.schema_sets
            yield from _migrations(services.database, sets, migrate)
            if services.database.dialect == "sqlite":
                yield from _disk(services.database)
            else:
                yield from _vacuum(services.database)
        yield from _schedules(services)
    except StorageError:
        return  # _engine() has reported that the database does not answer


def _engine(services: ProcessServices, kind: Kind, subject: str) -> Iterator[Line]:
    try:
        answers, about, middle = _call_with_timeout(
            ENGINE_TIMEOUT, lambda: _ask(getattr(services, kind))
        )
    except Exception as error:  # the command reports every error of the backend or its driver
        setting = getattr(error, "setting", None)
        fix = f"change {setting}" if setting else "correct the error above"
        if kind in services.optional:
            text = f"{_one_line(error)} (optional: the service continues without it)"
            yield Line("warn", subject, text, fix)
        else:
            yield Line("fail", subject, _one_line(error), fix)
        return
    fastest = min(answers)
    text = (
        f"{f'{about.version} ' if about else ''}answers in {fastest:.1f} ms"
        f" ({answers[0]:.1f} ms the first time)"
    )
    if fastest > SLOW_ANSWER:
        fix = "run it closer to this machine: every request and job calls it several times"
        yield Line("warn", subject, text, fix)
    else:
        yield Line("ok", subject, text)
    if about is not None and about.now is not None:
        line = _clock(f"clock of {subject}", (about.now - middle) / 1000)
        yield line._replace(level="warn") if (kind, line.level) == ("database", "fail") else line


def _ask(backend: Any) -> tuple[list[float], ServerInfo | None, float]:
    """Return three latencies in milliseconds, the server's version and clock, and our clock."""
    answers = []
    for _ in range(3):  # the first one connects
        began = time.perf_counter()
        backend.ping()
        answers.append((time.perf_counter() - began) * 1000)
    before = time.time()
    if isinstance(backend, Database):
        with backend.session():
            ((version, now),) = backend.read(_SQL[backend.dialect])
        about: ServerInfo | None = ServerInfo(str(version), None if now is None else int(now))
    else:
        about = backend.server_info()
    return answers, about, (before + time.time()) / 2 * 1000


def _clock(subject: str, ahead: float) -> Line:
    text = f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) <= SKEW:
        return Line("ok", subject, text)
    fix = "synchronise both (chrony, systemd-timesyncd): logs and plugins compare their times"
    return Line("fail" if abs(ahead) > LARGE_SKEW else "warn", subject, text, fix)


def _migrations(database: Database, sets: Sequence[Set], migrate: str) -> Iterator[Line]:
    try:
        found = status(database, [HOST_SET, *sets])
    except ConfigurationError as error:
        yield Line("fail", "migrations", error.problems[0].what, error.problems[0].fix)
        return
    owners = {owner for owner, _ in (HOST_SET, *sets)}
    newer = [line for line in found if line.state == "gone" and line.owner in owners]
    if newer:
        names = ", ".join(f"{line.owner}/{line.number:04d}" for line in newer)
        fix = "run the version of the code that applied them, or revert them with it"
        level: Level = "fail" if any(line.phase == "post" for line in newer) else "warn"
        yield Line(
            level, "migrations", f"applied, but unknown to this code, which is older: {names}", fix
        )
    incomplete = [line for line in found if line.state in ("changed", "pending")]
    incomplete.sort(key=lambda line: (line.state != "changed", line.phase == "post"))
    names = ", ".join(f"{line.owner}/{line.number:04d}" for line in incomplete)
    if any(line.state == "changed" for line in incomplete):
        fix = "restore the files that were applied; put changes into new ones"
        yield Line("fail", "migrations", f"changed after they were applied: {names}", fix)
    elif any(line.phase == "pre" for line in incomplete):
        yield Line("fail", "migrations", f"pending: {names}", migrate)
    elif incomplete:
        fix = f"{migrate} --phase post, when no older process runs any more"
        yield Line("warn", "migrations", f"pending: {names}", fix)
    else:
        yield Line("ok", "migrations", f"all {len(found)} are applied")


def _disk(database: Database) -> Iterator[Line]:
    file = next((row[2] for row in database.read("PRAGMA database_list") if row[2]), "")
    if not file:
        return  # in memory
    free = shutil.disk_usage(Path(file).parent).free
    text = f"{free / 2**30:.1f} GiB free for {file}"
    if free >= FREE_WARN:
        yield Line("ok", "disk", text)
    else:
        fix = "make room, or move the file: [embedded] path"
        yield Line("fail" if free < FREE_FAIL else "warn", "disk", text, fix)


def _vacuum(database: Database) -> Iterator[Line]:
    found = [Line("warn", *each) for each in vacuum_checks.problems(database)]
    yield from found or [Line("ok", "dead rows", "autovacuum can remove them")]


def _schedules(services: ProcessServices) -> Iterator[Line]:
    from rolehost.delivery import tickstate

    from rolehost_fleet.schedules import problems

    states = tickstate.read(services.database)
    names = {owned.value.name for owned in services.composition.schedules}
    for name in sorted(names & states.keys()):
        for problem in problems(states[name], services.clock.now()):
            yield Line("warn", "schedule", problem.what, problem.fix)


def _call_with_timeout(seconds: float, ask: Callable[[], Any]) -> Any:
    """Call a function in a thread, which is left behind if it takes too long."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="asks an engine", daemon=True).start()
    if not wait([future], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return future.result()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
