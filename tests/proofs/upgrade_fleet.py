"""Part of ``upgrade``: one database, and the processes of two versions of the host on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.deployments import Place, place
from benchmarks.postgres import execute
from tests.proofs.kills import processes
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, Running, running
from tests.proofs.upgrade_versions import Version

#: Seconds: a process that does not renew its lease has died.
_LEASE, _HEARTBEAT = 5.0, 1.0

_PLUGIN = "upgrade_plugin"
_PROOFS = ROOT / "tests" / "proofs"

EFFECTS = (
    "CREATE TABLE proof_effects (number BIGINT, name TEXT, version TEXT,"
    " began DOUBLE PRECISION, ended DOUBLE PRECISION)"
)


class Fleet:
    """Workers and enqueuers of several versions on one database.

    Args:
        engine: ``postgres`` or ``sqlite``.
        where: URL or path of the database.
        folder: for deployment files and logs.
    """

    def __init__(self, engine: str, where: str, folder: Path) -> None:
        self.engine = engine
        self.where = where
        self.folder = folder
        self.healed = folder / "healed"
        self._stack = ExitStack()
        self._workers: dict[str, tuple[Running, ExitStack]] = {}
        self._loads: list[subprocess.Popen[str]] = []

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Execute one statement in its own transaction; return its rows."""
        if self.engine == "postgres":
            return execute(self.where, sql)
        with contextlib.closing(
            sqlite3.connect(self.where, isolation_level=None, timeout=30)
        ) as connection:
            return connection.execute(sql).fetchall()

    def number(self, sql: str) -> int:
        """Return the first number of a query's first row."""
        return int(self.execute(sql)[0][0])

    def _place(self, version: Version) -> Place:
        """Return the deployment of a version; written at the first call."""
        plugin = "postgres" if self.engine == "postgres" else "embedded"
        folder = self.folder / version.name
        if not folder.exists():
            setting = {"url" if plugin == "postgres" else "path": self.where}
            place(
                folder,
                {"proof-upgrade": _PLUGIN},
                [plugin],
                trees=(),
                deployment={"name": "fleet", "migrate": "check"},
                delivery={"lease": _LEASE, "heartbeat": _HEARTBEAT},
                **{plugin: setting},
            )
            for name in (_PLUGIN, "upgrade_load"):
                shutil.copy(_PROOFS / f"{name}.py", folder / "site")
        env = {
            "PYTHONPATH": str(folder / "site"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PROOF_VERSION": version.name,
            "PROOF_HEALED": str(self.healed),
        }
        return Place(folder, folder / "bench.toml", env)

    def command(self, version: Version, *arguments: str) -> str:
        """Run a command of ``rolehost`` with a version; return its output.

        Raises:
            AssertionError: it failed.
        """
        made = self._place(version)
        done = subprocess.run(
            [version.python, "-m", "rolehost", "-d", made.file, *arguments],
            cwd=made.folder,
            env={**os.environ, **made.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{version.name}: rolehost {arguments}: {done.stderr}"
        return done.stdout

    def launch(self, name: str, version: Version) -> Running:
        """Start a worker without waiting for it."""
        made, stack = self._place(version), ExitStack()
        run = [str(version.python), "-m", "rolehost", "run", str(made.file)]
        worker = stack.enter_context(running(run, made.folder, made.env))
        self._workers[name] = (worker, stack)
        return worker

    def start(self, name: str, version: Version) -> None:
        """Start a worker and wait until it is ready."""
        self.launch(name, version).until(READY)

    def stop(self, name: str) -> None:
        """Stop a worker in order."""
        _, stack = self._workers.pop(name)
        stack.close()

    def kill(self, name: str) -> None:
        """Kill the process of a worker's role; its supervisor starts another one."""
        supervisor = self._workers[name][0].pid
        found = sorted(pid for pid, role in processes(supervisor) if role == "worker")
        assert found, f"{name} has no process"
        os.kill(found[0], signal.SIGKILL)

    def logs(self) -> str:
        """Return the last lines of each worker."""
        return "\n".join(
            f"{name}:\n{worker.output[-1000:]}" for name, (worker, _) in self._workers.items()
        )

    def load(self, version: Version, *arguments: object) -> subprocess.Popen[str]:
        """Start an enqueuer of a version; see ``upgrade_load``."""
        made = self._place(version)
        command, *more = map(str, arguments)
        process = subprocess.Popen(
            [version.python, made.folder / "site/upgrade_load.py", made.file, command, *more],
            cwd=made.folder,
            env={**os.environ, **made.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._loads.append(process)
        return process

    def close(self) -> None:
        """Stop everything that still runs."""
        for load in self._loads:
            if load.poll() is None:
                load.kill()
                load.communicate()
        with ExitStack() as stack:
            for _, worker in self._workers.values():
                stack.push(worker)


def answer(load: subprocess.Popen[str]) -> Any:
    """End the input of an enqueuer and return what it printed."""
    said, _ = load.communicate("\n")
    assert load.returncode == 0, f"an enqueuer ended with status {load.returncode}"
    return json.loads(said)


@contextmanager
def fleet(engine: str, where: str, folder: Path) -> Iterator[Fleet]:
    """Give a fleet during the block."""
    made = Fleet(engine, where, folder)
    try:
        yield made
    finally:
        made.close()
