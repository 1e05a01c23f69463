"""A third-party plugin and backend: written, tested, installed, run, and removed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.proofs.kit import Figures, Options
from tests.proofs.running import READY, Running, eventually, free_port, running
from tests.proofs.third_party_ground import Ground, call

PROMISE = (
    "From an empty folder: a plugin made by rolehost new passes its tox, its wheel is enabled by"
    " one line and all its contributions work; disabled by one line it is gone and nothing else"
    " has changed; if it is uninstalled, check reports the plugins that need it and how to"
    " install it"
)
DURATION = "about 4 min; --short: 45 s"

PLUGIN, BACKEND = "acme", "acme-store"

#: Listings that show a plugin.
LISTINGS = ("routes", "actors", "handlers", "schedules")

#: The deployment; each line to add or remove is a separate line.
DEPLOYMENT = """\
plugins = [
    "embedded",
    "ops",
]
[http]
bind = "127.0.0.1:{port}"
[embedded]
path = "service.db"
[acme]
keep = 2.0
tidy_every = 1.0
token = "${{ACME_TOKEN:-let me in}}"
[storage]
cache = "embedded"
"""


def prove(options: Options) -> Figures:
    """Do all steps; ``--short`` runs tox only for the plugin, on one Python, in parallel."""
    step = _Steps(options)
    with tempfile.TemporaryDirectory(prefix="rolehost-third-party-") as name:
        ground = Ground(Path(name))
        with step("wheels of the host, of embedded and of ops"):
            wheels = ground.build()
        with step("a fresh environment with nothing but these"):
            ground.make()
        with step(f"rolehost new plugin {PLUGIN}; new backend {BACKEND} --kind cache"):
            ground.rolehost("new", "plugin", PLUGIN)
            ground.rolehost("new", "backend", BACKEND, "--kind", "cache")
        sources = [ground.work / f"rolehost-{each}" for each in (PLUGIN, BACKEND)]
        files = sum(path.is_file() for each in sources for path in each.rglob("*"))
        # The backend's suite waits until entries expire, which takes some time.
        with _tox(ground, sources[:1] if options.short else sources, options.short) as waiting:
            if not options.short:
                with step("tox in both folders: every Python, lint, types"):
                    environments = waiting()
            with step("both wheels, installed beside the host"):
                for source in sources:
                    ground.wheel(source, ground.work / "dist")
                ground.install(*sorted((ground.work / "dist").glob("*.whl")))
            figures = _operate(ground, step)
            if options.short:
                with step("tox of the plugin: one Python, and lint"):
                    environments = waiting()
    return {
        "steps": step.count,
        "wheels": wheels,
        "files": files,
        "tox_environments": environments,
        **figures,
    }


class _Steps:
    """Shows one line of the display for each step."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.count = 0

    @contextmanager
    def __call__(self, label: str) -> Iterator[None]:
        self.count += 1
        line = self._options.progress(1, f"{self.count:>2} {label}")
        yield
        line.advance()


@contextmanager
def _tox(ground: Ground, sources: list[Path], short: bool) -> Iterator[Any]:
    """Start tox in each folder; yield a function that waits for all of them."""
    only = ["-e", f"py3{sys.version_info.minor},lint"] if short else []
    command = [sys.executable, "-m", "tox", "run", "--quiet", *only]
    said = [ground.work / f"{source.name}.tox" for source in sources]
    started = []
    for source, file in zip(sources, said, strict=True):
        with file.open("w") as log:
            started.append(
                subprocess.Popen(
                    command,
                    cwd=source,
                    env=ground.environ,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def wait() -> int:
        held = 0
        for file, process in zip(said, started, strict=True):
            text = file.read_text() if process.wait() else ""
            assert process.returncode == 0, f"{file.name}:\n{text[-3000:]}"
            held += len(re.findall(r"^  \w+: OK", file.read_text(), re.MULTILINE))
        return held

    try:
        yield wait
    finally:
        for process in started:
            if process.poll() is None:
                process.terminate()
            process.wait()


def _operate(ground: Ground, step: _Steps) -> dict[str, Any]:
    """Enable, use, disable, uninstall."""
    file = ground.work / "rolehost.toml"
    url = f"http://127.0.0.1:{(port := free_port())}"
    file.write_text(DEPLOYMENT.format(port=port))
    before = ground.listed(*LISTINGS)
    with step("what is installed and not enabled is listed, and does nothing"):
        states = {row["name"]: row["state"] for row in ground.listed("plugins")["plugins"]}
        assert states == {
            "embedded": "enabled",
            "ops": "enabled",
            PLUGIN: "disabled",
            BACKEND: "disabled",
        }, states
    without = file.read_text()
    with step(f'one line: "{PLUGIN}"; two for the backend: "{BACKEND}", cache = "{BACKEND}"'):
        enabled = without.replace('"ops",\n', f'"ops",\n    "{PLUGIN}",\n')
        assert _lines(without, enabled) == 1
        both = enabled.replace(f'"{PLUGIN}",\n', f'"{PLUGIN}",\n    "{BACKEND}",\n')
        both = both.replace('cache = "embedded"', f'cache = "{BACKEND}"')
        file.write_text(both)
        ground.rolehost("check")
        assert f"{BACKEND}" in ground.rolehost("why", f"backend:{BACKEND}")
    with _running(ground) as host, step("route, job, event, schedule, middleware, check, command"):
        host.until(READY)
        effects = _use(ground, url)
    with step("disabled by one line: gone, and nothing else has changed"):
        file.write_text(both.replace(f'    "{PLUGIN}",\n', ""))
        ground.rolehost("check")
        assert ground.listed(*LISTINGS) == before, "a listing has changed"
        ground.rolehost(PLUGIN, "count", status=2)
        with _running(ground) as host:
            host.until(READY)
            assert call(f"{url}/{PLUGIN}/items")[0] == 404
            status, reported, headers = call(f"{url}/readyz")
            assert status == 200
            assert f"x-{PLUGIN}" not in headers
            assert PLUGIN not in {each["source"] for each in reported["checks"]}, reported
    with step("uninstalled: check says what misses it, and how to get it"):
        file.write_text(both)
        gone = ground.pip("uninstall", "--yes", f"rolehost-{PLUGIN}")
        assert gone.returncode == 0, gone.stderr
        said = ground.rolehost("check", status=3)
        for words in (
            f"has a plugin named {PLUGIN}",
            "rolehost.toml:4",
            f"pip install rolehost-{PLUGIN}",
        ):
            assert words in said, f"check does not say {words!r}: {said}"
    return {**effects, "left_when_disabled": 0}


def _use(ground: Ground, url: str) -> dict[str, Any]:
    """Use all contributions of the plugin in the running deployment."""
    items = f"{url}/{PLUGIN}/items"
    assert call(items, {"name": "Ada"})[0] == 401, "the secret is not asked for"
    known = {"Authorization": "Bearer let me in", "Idempotency-Key": "1"}
    status, item, headers = call(items, {"name": "Ada"}, known)
    assert (status, headers.get(f"x-{PLUGIN}")) == (201, "1"), (status, item, headers)
    assert call(items, {"name": "Ada"}, known)[1] == item, "the key was not honoured"
    done = {**item, "text": "Hello, Ada!", "counted": 1}
    _, seen, _ = eventually(
        lambda: call(f"{items}/{item['id']}"), lambda got: got[1] == done or got[0] == 404
    )
    assert seen == done, f"job and handler left {seen}"
    counted = ground.rolehost(PLUGIN, "count")
    assert counted in ("1 items\n", "0 items\n"), counted
    _, health, _ = call(f"{url}/readyz")
    checks = {each["name"]: each for each in health["checks"]}
    assert checks[PLUGIN]["ok"], health
    assert checks["cache"]["ok"], health
    migrated = json.loads(ground.rolehost("migrate", "status", "--json"))
    assert [row["state"] for row in migrated if row["owner"] == PLUGIN] == ["applied"], migrated
    removed = eventually(lambda: call(items)[1], lambda left: left == [])
    assert removed == [], f"the schedule left {removed}"
    assert "let me in" not in ground.rolehost("settings"), "the secret is printed"
    return {"answers": 7, "job": 1, "event": 1, "removed_by_schedule": 1}


@contextmanager
def _running(ground: Ground) -> Iterator[Running]:
    with running([ground.bin / "rolehost", "run"], ground.work, ground.environ) as host:
        yield host


def _lines(one: str, other: str) -> int:
    return len(set(other.splitlines()) ^ set(one.splitlines()))
