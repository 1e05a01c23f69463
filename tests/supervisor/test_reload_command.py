"""``rolehost reload`` with a running ``rolehost run``, and plugins in a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.kills import processes
from tests.proofs.running import READY, Running, running

pytestmark = [pytest.mark.processes, pytest.mark.needs("rolehost_embedded")]

PLUGINS = """
from rolehost.api import Migrations, PluginInfo, actor, hookimpl
from rolehost.api import Settings

class Base:
    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=1, requires=("database", "queue"))
    @hookimpl
    def rolehost_actors(self):
        return [work]

class Shop:
    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=1, requires=("database",))
    @hookimpl
    def rolehost_migrations(self):
        return [Migrations(package="shop_tables")]

@actor()
def work(job):
    pass

base, shop = Base(), Shop()
"""

PRE = "-- up\nCREATE TABLE shop (id INTEGER);\n-- down\nDROP TABLE shop;\n"
POST = "-- phase: post\n-- up\nCREATE TABLE later (id INTEGER);\n-- down\nDROP TABLE later;\n"


class Host:
    """A running deployment in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "d.toml"
        found = (str(folder), os.environ.get("PYTHONPATH", ""))
        self.environ = {
            "PYTHONPATH": os.pathsep.join(each for each in found if each),
            "TMPDIR": str(folder),
        }
        self.supervisor: Running

    def write(self, plugins: str = '"embedded", "base"') -> None:
        self.path.write_text(
            f'plugins = [{plugins}]\n[embedded]\npath = "s.db"\n[deployment]\nmigrate = "run"\n'
        )

    def reload(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rolehost", "reload", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def reloaded(self) -> dict[str, Any]:
        done = self.reload(self.path, "--json")
        result: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == result["status"]
        return result

    def worker(self) -> int:
        """Return the process id of the worker."""
        (pid,) = (pid for pid, role in processes(self.supervisor.pid) if role == "worker")
        return pid


@contextmanager
def started(folder: Path, *options: str) -> Iterator[Host]:
    host = Host(folder)
    host.write()
    (folder / "two_plugins.py").write_text(PLUGINS)
    metadata = folder / "two_plugins-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: two-plugins\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[rolehost]\nbase = two_plugins:base\nshop = two_plugins:shop\n"
    )
    (folder / "shop_tables").mkdir()
    for name, text in {"__init__.py": "", "0001_shop.sql": PRE, "0002_later.sql": POST}.items():
        (folder / "shop_tables" / name).write_text(text)
    command = [sys.executable, "-m", "rolehost", "run", "d.toml", *options]
    with running(command, folder, host.environ) as supervisor:
        host.supervisor = supervisor
        supervisor.until(READY)
        yield host


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rh-", dir="/tmp") as name:
        yield Path(name)


def test_a_changed_file_is_taken_with_its_migrations_of_both_phases(folder: Path) -> None:
    with started(folder) as host:
        before = host.worker()
        host.write('"embedded", "base", "shop"')
        result = host.reloaded()
        assert (result["outcome"], result["enabled"]) == ("reloaded", ["shop"])
        assert [site.rpartition(" ")[2] for site in result["migrated"]] == [
            "0001_shop.sql",
            "0002_later.sql",
        ]
        assert host.worker() != before


def test_a_file_with_errors_changes_nothing_and_restarted_processes_do_not_read_it(
    folder: Path,
) -> None:
    with started(folder) as host:
        before = host.worker()
        host.write('"embedded", "bse"')
        done = host.reload("d.toml")
        assert done.returncode == 3
        assert 'did you mean "base"' in done.stderr
        assert "Nothing was changed" in done.stderr
        assert host.worker() == before
        os.kill(before, signal.SIGKILL)
        host.supervisor.until('"incarnation":2')
        host.supervisor.until("worker.0 is ready")


def test_secrets_in_files_are_those_that_were_accepted(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("s.db")
    with started(folder) as host:
        host.path.write_text(
            'plugins = ["embedded", "base"]\n[deployment]\nname = "${file:secret}"\n'
        )
        assert host.reloaded()["status"] == 0
        secret.unlink()
        os.kill(host.worker(), signal.SIGKILL)
        host.supervisor.until('"incarnation":3')
        assert host.reload(host.path).returncode == 3


def test_a_file_behind_a_link_is_found_when_the_link_means_another(folder: Path) -> None:
    with started(folder) as host:
        for name in ("one", "two"):
            (folder / name).mkdir()
            text = host.path.read_text().replace("s.db", str(folder / "s.db"))
            (folder / name / "d.toml").write_text(text)
        host.path.unlink()
        host.path.symlink_to(folder / "one" / "d.toml")
        result = host.reloaded()
        assert result["status"] == 0, result
        host.path.unlink()
        host.path.symlink_to(folder / "two" / "d.toml")
        assert host.reload("d.toml").returncode == 0


def test_a_role_that_was_named_must_exist(folder: Path) -> None:
    with started(folder, "--role", "worker") as host:
        host.write('"embedded"')
        result = host.reloaded()
        assert (result["outcome"], result["status"]) == ("refused", 5)
        assert "has no role worker" in result["message"]


def test_it_lists_the_running_supervisors(folder: Path) -> None:
    with started(folder) as host:
        (folder / "other.toml").write_text("")
        done = host.reload("other.toml")
        assert done.returncode == 1
        assert f"running: {host.supervisor.pid} ({host.path})" in done.stderr
        assert host.reload("--pid", "1").returncode == 1
        assert host.reload("--pid", str(host.supervisor.pid)).returncode == 0
        assert host.reload("d.toml", "--plugins", "ops").returncode == 2


def test_the_socket_of_a_killed_supervisor_is_removed(folder: Path) -> None:
    with started(folder) as host:
        os.kill(host.supervisor.pid, signal.SIGKILL)
        host.supervisor.wait()
        (left,) = folder.glob("rolehost-supervisors-*/*.sock")
        done = host.reload("d.toml")
        assert "this user runs no supervisor here" in done.stderr
        assert not left.exists()
