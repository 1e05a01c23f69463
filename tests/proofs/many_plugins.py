"""The cost of hundreds of installed plugins, a hundred of them enabled."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import quiet, serving
from benchmarks.children import descendants
from benchmarks.load import Load
from benchmarks.serving import URL, Server
from tests.check.casefile import install
from tests.proofs.kit import ROOT, Figures, Options, Task

PROMISE = (
    "With 500 distributions of plugins installed, discovery takes at most 100 ms and the check of"
    " a deployment with 100 of them at most 1 s; a request to the last of 100 plugins costs"
    " the same as one to a plugin alone, and a process of the http role holds at most 80 MB."
)
DURATION = "about 40 s; --short: 25 s"

INSTALLED, ENABLED = 500, 100

#: Seconds; the minimum of several measurements, because other load only adds time.
DISCOVERY, CHECK = 0.100, 1.0

#: Processor time of a request to the last of a hundred plugins, relative to a single plugin.
RATIO = 1.05

#: Number of compared slices of requests in each comparing process.
SLICES = 100

#: Maximum seconds to wait for a quiet machine before each measurement.
PATIENCE = 3.0

#: Megabytes (of 1,000,000 bytes).
MEMORY = 80.0

PLUGIN = '''
"""Plugin NUMBER of many."""

from rolehost.api import Check, PluginInfo, Route, Schedule, Settings, actor, hookimpl


class Resource:
    async def on_get(self, req, resp, thing):
        resp.media = {"thing": thing}


class ManySettings(Settings, frozen=True):
    """``[manyNUMBER]``.

    Attributes:
        limit: how many.
    """

    limit: int = 10


@actor(name="manyNUMBER-tidy")
def tidy(context, path: str = ""):
    """Do nothing."""


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2, settings=ManySettings, enqueues=("manyNUMBER-tidy",))


@hookimpl
def rolehost_routes(context):
    return [Route(f"/{context.plugin}/{number}/{{thing}}", Resource()) for number in range(5)]


@hookimpl
def rolehost_actors():
    return [tidy]


@hookimpl
def rolehost_schedules():
    return [Schedule(name="manyNUMBER-tidy", actor=tidy, cron="0 3 * * *")]


@hookimpl
def rolehost_checks():
    return [Check(name="manyNUMBER", fn=lambda services: None)]
'''

#: As long as the metadata of a well-documented package.
DESCRIPTION = "Classifier: Programming Language :: Python :: 3\n" * 20 + "\n" + "A line.\n" * 400

#: Prints the seconds of the first discovery in a new process, and the number of found plugins.
DISCOVER = """
import json, time
from rolehost.discovery import installed
began = time.perf_counter()
found = installed()
print(json.dumps([time.perf_counter() - began, len(found)]))
"""


def prove(options: Options) -> Figures:
    """Measure discovery, check and requests in new processes, then the memory of servers."""
    times = 3 if options.short else 9
    line = options.progress(2 * times + 2, "discovering")
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        folder = Path(name)
        env = spread_out(folder)
        discoveries = [discovery(folder, env, line) for _ in range(times)]
        check(folder, env)  # compiles the modules, as an installation does
        assert min(discoveries) <= DISCOVERY, f"discovery took {discoveries} s"
        line.relabel("checking")
        checks, computed = [], []
        for _ in range(times):
            quiet.await_still(PATIENCE)
            passed, used = check(folder, env)
            checks.append(passed)
            computed.append(used)
            line.advance()
        # If the machine has more work than cores, the wait for a core does not count.
        judged = computed if crowded() else checks
        assert min(judged) <= CHECK, f"the check took {checks} s, computing for {computed} s"
        line.relabel("answering")
        costs = [requests(folder, env) for _ in range(times)]
        ratio = statistics.median(each["ratio"] for each in costs)
        calls = {(each["calls_many"], each["calls_one"]) for each in costs}
        assert all(many == one for many, one in calls), f"calls of a request: {calls}"
        assert ratio <= RATIO, f"a request costs {ratio:.3f} times as much: {costs}"
        line.advance()
        sizes = memories(folder)
        assert sizes[0] <= MEMORY, f"{sizes[0]:.1f} MB"
        line.advance()
    return {
        "installed": INSTALLED,
        "discovery_ms": spread([each * 1000 for each in discoveries]),
        "enabled": ENABLED,
        "check_ms": spread([each * 1000 for each in checks]),
        "check_computing_ms": spread([each * 1000 for each in computed]),
        "calls_of_a_request": ", ".join(f"{many} beside {one}" for many, one in calls),
        "request_cpu_ratio": spread([each["ratio"] for each in costs], 3),
        "memory_mb": f"{sizes[0]:.1f}",
        "memory_mb_of_one": f"{sizes[1]:.1f}",
    }


def spread_out(folder: Path) -> dict[str, str]:
    """Install the plugins and write the deployment; return the environment of commands."""
    site = folder / "site"
    for number in range(INSTALLED):
        install(site, f"many-{number:03}", "1.0", f"many{number:03} = many_{number:03}")
        info = site / f"many_{number:03}-1.0.dist-info"
        with (info / "METADATA").open("a") as metadata:
            metadata.write(DESCRIPTION)
        text = PLUGIN.replace("NUMBER", f"{number:03}")
        (site / f"many_{number:03}.py").write_text(text, encoding="utf-8")
    names = ["embedded", *(f"many{number:03}" for number in range(ENABLED))]
    (folder / "rolehost.toml").write_text(
        f'plugins = {json.dumps(names)}\n[embedded]\npath = "{folder}/service.db"\n'
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROLEHOST")}
    return kept | {"PYTHONPATH": str(site)}


def discovery(folder: Path, env: dict[str, str], line: Task) -> float:
    """Return the seconds of the first discovery in a new process."""
    out = subprocess.run(
        [sys.executable, "-c", DISCOVER], cwd=folder, env=env, stdout=subprocess.PIPE, check=True
    ).stdout
    seconds, count = json.loads(out)
    assert count >= INSTALLED, count
    line.advance()
    return float(seconds)


def check(folder: Path, env: dict[str, str]) -> tuple[float, float]:
    """Return the elapsed seconds and the processor seconds of ``rolehost check``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", "check", "rolehost.toml"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok: {ENABLED + 1} plugins" in done.stdout, done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def crowded() -> bool:
    """Return whether the machine has more runnable processes than processors."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def requests(folder: Path, env: dict[str, str]) -> dict[str, float]:
    """Return the result of :mod:`tests.proofs.many_requests` in a new process."""
    out = subprocess.run(
        [sys.executable, "-m", "tests.proofs.many_requests", str(ENABLED), str(SLICES)],
        cwd=folder,
        env=env | {"PYTHONPATH": f"{env['PYTHONPATH']}:{ROOT}"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    seen: dict[str, float] = json.loads(out)
    return seen


def memories(folder: Path) -> list[float]:
    """Return the resident megabytes of an http process with many plugins, and with one."""
    plain = {"request_id": False, "access_log": False, "installed": ["embedded"]}
    sizes = []
    for others in (ENABLED, 1):
        with serving.host(folder / f"served-{others}", others=others, **plain) as server:
            Load(server.port, URL).run(5.0, folder)
            sizes.append(memory(server))
    return sizes


def memory(server: Server) -> float:
    """Return the resident megabytes of the process that answers."""
    (worker,) = descendants(server.child.pid)
    for row in Path(f"/proc/{worker}/status").read_text("ascii").splitlines():
        if row.startswith("VmRSS"):
            return int(row.split()[1]) * 1024 / 1e6
    raise AssertionError(f"the kernel does not tell the memory of {worker}")


def spread(samples: list[float], digits: int = 0) -> str:
    """Return the minimum, the median and the maximum of samples as text."""
    asked = (min(samples), statistics.median(samples), max(samples))
    return "/".join(f"{each:.{digits}f}" for each in asked)
