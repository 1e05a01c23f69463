"""Deployments and plugins for one benchmark, in a separate folder.

A plugin is a module with the metadata of a distribution, in a folder on ``PYTHONPATH``: the host
finds it like any installed plugin.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import finish
from benchmarks.model import ROOT

#: A plugin with typical contributions; ``NUMBER`` makes its names unique.
_PLUGIN = '''\
"""Plugin NUMBER of many."""

from rolehost.api import Check, PluginInfo, Route, Schedule, actor, hookimpl


@actor(name="tidy-NUMBER", queue="default")
def tidy(job, path: str = ""):
    """Do nothing."""


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, requires=("database",), enqueues=("tidy-NUMBER",))


@hookimpl
def rolehost_routes():
    from benchmarks.sample import Orders

    orders = Orders()
    return [Route("/pNUMBER/orders/{order}", orders), Route("/pNUMBER/orders/{order}/x", orders)]


@hookimpl
def rolehost_actors():
    return [tidy]


@hookimpl
def rolehost_schedules():
    return [Schedule(name="tidy-NUMBER", actor=tidy, cron="0 3 * * *")]


@hookimpl
def rolehost_checks():
    return [Check(name="check-NUMBER", fn=lambda services: None)]
'''


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment file and the environment in which the host finds its plugins.

    Attributes:
        folder: the folder of all files.
        file: the deployment file.
        env: environment variables for the processes.
    """

    folder: Path
    file: Path
    env: Mapping[str, str]


def environment(folder: Path, trees: Sequence[Path] = (ROOT,)) -> dict[str, str]:
    """Return environment variables so that a process creates files only inside a folder.

    ``trees`` are the folders of packages that come before the installed ones.
    """
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {
        "PYTHONPATH": ":".join(map(str, (folder / "site", *trees))),
        "XDG_RUNTIME_DIR": str(runtime),
    }


def place(
    folder: Path,
    plugins: Mapping[str, str],
    installed: Sequence[str] = (),
    trees: Sequence[Path] = (ROOT,),
    **sections: Mapping[str, Any],
) -> Place:
    """Write a deployment.

    Args:
        folder: created if missing.
        plugins: entry points to install and enable, name → target.
        installed: installed plugins to enable.
        trees: see :func:`environment`.
        sections: the deployment's sections; only values that both TOML and JSON have.
    """
    folder.mkdir(exist_ok=True)
    (folder / "site").mkdir(exist_ok=True)
    for name, target in plugins.items():
        _install(folder / "site", name, target)
    lines = [f"plugins = {json.dumps([*installed, *plugins])}"]
    for section, values in sections.items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    file = folder / "bench.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return Place(folder, file, environment(folder, trees))


def migrate(made: Place) -> None:
    """Create the tables of a deployment."""
    finish(["-m", "rolehost", "migrate", "up", "-d", str(made.file)], made.folder, made.env)


def many(folder: Path, count: int) -> dict[str, str]:
    """Write this number of different plugin modules; return name → target."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    targets = {}
    for number in range(count):
        module = f"bench_plugin_{number}"
        (site / f"{module}.py").write_text(_PLUGIN.replace("NUMBER", str(number)), "utf-8")
        targets[f"bench-{number}"] = module
    return targets


def _install(site: Path, name: str, target: str) -> None:
    metadata = site / f"rolehost_{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: rolehost-{name}\nVersion: 1.0\n", "utf-8"
    )
    (metadata / "entry_points.txt").write_text(f"[rolehost]\n{name} = {target}\n", "utf-8")


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
