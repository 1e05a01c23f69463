"""Two real versions of one plugin, installed side by side: one is queued for, one is to come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.check.casefile import install

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("dramatiq"),
]

FIRST = """
    from rolehost.api import PLUGIN_API, PluginInfo, actor, hookimpl

    @actor(name="shop.ship")
    def ship(job, order: int, express: bool = False) -> None: ...

    @actor(name="shop.bill")
    def bill(job, order: int) -> None: ...

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=PLUGIN_API, enqueues=("shop.ship", "shop.bill"))

    @hookimpl
    def rolehost_actors():
        return [ship, bill]
"""

#: Ships by carrier, and bills no more.
SECOND = """
    from rolehost.api import PLUGIN_API, PluginInfo, actor, hookimpl

    @actor(name="shop.ship")
    def ship(job, order: int, carrier: str) -> None: ...

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=PLUGIN_API, enqueues=("shop.ship",))

    @hookimpl
    def rolehost_actors():
        return [ship]
"""


def installed(folder: Path, version: str, source: str) -> Path:
    install(folder, "shop", version, "shop = shop")
    (folder / "shop.py").write_text(textwrap.dedent(source))
    return folder


def rolehost(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "rolehost", *arguments],
        cwd=site.parent,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "app.toml").write_text(
        'plugins = ["embedded", "shop"]\n[embedded]\npath = "service.db"\n'
    )
    return (
        installed(tmp_path / "first", "1.0", FIRST),
        installed(tmp_path / "second", "2.0", SECOND),
    )


def queue(site: Path) -> None:
    """Enqueue a job of each actor with the version that is installed there."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pathlib import Path\n"
            "from rolehost.composition import compose\n"
            "from rolehost.deployment import load\n"
            "from rolehost.services import ProcessServices\n"
            "services = ProcessServices(compose(load(Path('app.toml'))), role='command')\n"
            "services.enqueue('shop.ship', order=1, express=True)\n"
            "services.enqueue('shop.bill', order=1)\n"
            "services.close()\n",
        ],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_newer_version_is_planned_against_what_the_older_one_wrote_down_and_queued(sites):
    first, second = sites
    assert rolehost(first, "migrate", "up", "-d", "app.toml").returncode == 0
    saved = rolehost(first, "fleet", "manifest", "app.toml", "-o", "first.json")
    assert saved.returncode == 0, saved.stderr
    same = rolehost(first, "fleet", "plan", "first.json", "app.toml")
    assert (same.returncode, same.stdout.splitlines()[0]) == (0, "nothing changes")

    queue(first)
    done = rolehost(
        second, "fleet", "plan", "first.json", "app.toml", "--connect", "app.toml", "--json"
    )
    assert done.returncode == 1, done.stderr
    plan = json.loads(done.stdout)
    assert {(each["code"], each["who"]) for each in plan["errors"]} == {
        ("backlog", "actor shop.bill"),
        ("argument-incompatible", "actor shop.ship"),
        ("queued-unreadable", "actor shop.ship"),
    }
    assert ["~", "plugin", "shop", ["app"], "1.0 → 2.0"] in [
        list(each.values()) for each in plan["changes"]
    ]
    told = rolehost(second, "fleet", "plan", "first.json", "app.toml", "--connect", "app.toml")
    assert "1. wait until no jobs of shop.bill are left (1 now)" in told.stdout
    assert "2. roll out app" in told.stdout
    assert "True" not in told.stdout, "what is queued is never shown"


def test_back_from_the_newer_version_the_same_holds(sites):
    first, second = sites
    assert rolehost(second, "fleet", "manifest", "app.toml", "-o", "second.json").returncode == 0
    done = rolehost(first, "fleet", "plan", "second.json", "app.toml")
    assert done.returncode == 1
    assert "+ actor shop.bill" in done.stdout
    assert "argument-incompatible" in done.stdout
    assert "the queue was not read" in done.stdout


def test_what_is_no_version_is_refused_in_one_line(sites):
    first, _ = sites
    (first.parent / "wrong.json").write_text("{}")
    for old, said in (
        ("wrong.json", "wrong.json: not a file of manifests"),
        ("none.json", "none.json: No such file or directory"),
    ):
        done = rolehost(first, "fleet", "plan", old, "app.toml")
        assert done.returncode == 4
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
