"""Memory of each process of a deployment with every plugin."""

from __future__ import annotations

from pathlib import Path

from benchmarks import embedded
from benchmarks.children import descendants
from benchmarks.deployments import free_port
from benchmarks.load import Load
from benchmarks.model import Bench, Figure, Goal

#: Maximum memory of a role process, in megabytes (1,000,000 bytes).
WANTED = Goal(most=80.0)


def run(bench: Bench) -> list[Figure]:
    """Start everything, send some requests, and read each process's memory from the kernel."""
    rounds = bench.scaled(3, 1)
    step = bench.begin(rounds, "memory")
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        port = free_port()
        with embedded.started(bench.folder / f"memory-{number}", port) as child:
            Load(port, "/healthz").run(2.0, bench.folder)
            for pid in [child.pid, *descendants(child.pid)]:
                samples = found.setdefault(_name(pid, child.pid), {"Rss": [], "Pss": []})
                for key, size in _sizes(pid).items():
                    samples[key].append(size)
        step()
    return [
        Figure(
            benchmark="memory",
            what=f"{name}, {words}",
            unit="MB",
            ours=samples[key],
            goal=WANTED if key == "Rss" and name != "supervisor" else None,
        )
        for name, samples in found.items()
        for key, words in (("Rss", "resident"), ("Pss", "its share"))
    ]


def _name(pid: int, supervisor: int) -> str:
    """Return a process's role; for http also whether it is gunicorn's master or a worker."""
    if pid == supervisor:
        return "supervisor"
    role = Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("rh:").partition(".")[0]
    if role == "http":
        return "http master" if descendants(pid) else "http"
    return role


def _sizes(pid: int) -> dict[str, float]:
    """Return resident and proportional set size in megabytes (proc_pid_smaps(5))."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        key, _, rest = line.partition(":")
        if key in ("Rss", "Pss"):
            sizes[key] = int(rest.split()[0]) * 1024 / 1e6
    return sizes
