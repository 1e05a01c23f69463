"""Seeded errors in fleets of the real deployments, and the real fleets without errors."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rolehost_fleet.checking import check
from rolehost_fleet.loading import examine

from tests.proofs.fleet_check_case import ENVIRON, FOUR, Case, put
from tests.proofs.fleet_check_cases import CASES
from tests.proofs.kit import ROOT, Figures, Options

PROMISE = (
    "54 seeded errors in fleets of the real deployments are each found, alone, with the affected"
    " deployments and the fix; our own fleets have none; and checking the four takes less than"
    " 2 s"
)
DURATION = "about 15 s"

#: Maximum seconds to check our four deployments, with the start of the command.
LIMIT = 2.0
#: Number of timed runs, short and full; the fastest counts, because other load only adds time.
RUNS = (3, 9)

DEPLOY = ROOT / "deploy"
K8S = DEPLOY / "k8s"


def prove(options: Options) -> Figures:
    """Check every seeded fleet, then our fleets, then the time."""
    line = options.progress(len(CASES), "seeded errors")
    for case in CASES:
        line.relabel(case.name)
        wrong = wrong_report(case)
        assert not wrong, f"{case.name}: {wrong}"
        line.advance()
    own = dict(own_fleets())
    line = options.progress(len(own), "our own fleets")
    for name, alarm in own.items():
        assert not alarm, f"{name} has an alarm: {alarm}"
        line.advance()
    runs = RUNS[0] if options.short else RUNS[1]
    line = options.progress(runs, "rolehost fleet check")
    seconds, computed = [], []
    for _ in range(runs):
        passed, used = timed()
        seconds.append(passed)
        computed.append(used)
        line.advance()
    best, computing = min(seconds), min(computed)
    # If the machine has more work than cores, the wait for a core does not count.
    judged = computing if crowded() else best
    assert judged < LIMIT, (
        f"checking the four took {best:.2f} s, {computing:.2f} s of them computing; {LIMIT:g} s"
        " are allowed"
    )
    return {
        "errors": len(CASES),
        "kinds": len({case.code for case in CASES}),
        "found": len(CASES),
        "own_fleets": len(own),
        "false_alarms": 0,
        "check_best_s": round(best, 2),
        "check_median_s": round(sorted(seconds)[runs // 2], 2),
        "check_computing_s": round(computing, 2),
    }


def wrong_report(case: Case) -> str:
    """Return the difference from the expected result of a seeded error; empty if there is none."""
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        fleet, problems = examine(case.write(Path(name)), environ=ENVIRON, extra=case.extra())
        if fleet is None:
            return f"a deployment is wrong by itself: {problems[0]}"
        findings = check(fleet)
    reported = "\n".join(map(str, (*findings.errors, *findings.warnings)))
    if "hunter2" in reported:
        return f"a secret is shown: {reported}"
    found, others = findings.errors, findings.warnings
    if case.warning:
        found, others = others, found
    if [problem.code for problem in found] != [case.code] or others:
        return f"{case.code} alone was expected: {reported or 'nothing was found'}"
    problem = found[0]
    whose = set(re.findall(r"([\w-]+)\.toml", problem.who))
    if whose != set(case.whose):
        return f"{sorted(case.whose)} should be named, not {problem.who}"
    if case.fix not in problem.fix or case.got not in problem.got:
        return f"{case.got!r} and {case.fix!r} are expected in: {problem}"
    return ""


def own_fleets() -> Iterator[tuple[str, str]]:
    """Yield each fleet of this repository with its findings; empty if there are none."""
    four = [DEPLOY / f"{name}.toml" for name in FOUR]
    yield "the four of deploy/", alarm(four, {})
    yield "deploy/embedded.toml", alarm([DEPLOY / "embedded.toml"], {})
    yield "deploy/k8s/all", alarm([K8S / "all" / "deployment.toml"], {})
    yield "docker-compose.fleet.yml", alarm(four, settings(_compose()))
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        yield "deploy/k8s/fleet", alarm(in_pods(Path(name)), settings(_literals()))


def alarm(paths: Sequence[Path], environ: Mapping[str, str]) -> str:
    """Return all findings of a fleet as text."""
    fleet, problems = examine(paths, environ={**ENVIRON, **environ})
    if fleet is None:
        return "\n".join(map(str, problems))
    findings = check(fleet)
    return "\n".join(map(str, (*findings.errors, *findings.warnings)))


def in_pods(folder: Path) -> list[Path]:
    """Write the four deployments with the replicas and grace of the Kubernetes manifests."""
    paths = Case(name="", code="", whose=(), fix="").write(folder)
    for path in paths:
        manifest = (K8S / path.stem / "deployment.yaml").read_text("utf-8")
        replicas = re.findall(r"^ +replicas: (\d+)$", manifest, re.MULTILINE)
        grace = re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest)
        surge = re.findall(r"maxSurge: (\d+)", manifest)
        values: dict[str, Any] = {
            "replicas": int(replicas[0]),
            "grace": float(grace[0]),
            "surge": int(surge[0]) if surge else 0,
        }
        for key, value in values.items():
            put(path, "fleet", key, value)
    return paths


def settings(lines: Sequence[str]) -> dict[str, str]:
    """Return the ``NAME=value`` lines that set a value in a deployment."""
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name.startswith("ROLEHOST__")}


def _literals() -> list[str]:
    text = (K8S / "fleet" / "kustomization.yaml").read_text("utf-8")
    return re.findall(r"^ +- (ROLEHOST\S+=\S*)$", text, re.MULTILINE)


def _compose() -> list[str]:
    text = (ROOT / "docker-compose.fleet.yml").read_text("utf-8")
    found = re.findall(r"^ +(ROLEHOST__[A-Z_]+): ([\w.-]+)$", text, re.MULTILINE)
    return [f"{name}={value}" for name, value in found]


def crowded() -> bool:
    """Return whether the machine has more runnable processes than cores."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def timed() -> tuple[float, float]:
    """Time one ``rolehost fleet check`` of our four deployments.

    Return the elapsed seconds and the processor seconds.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", "fleet", "check", "--json"]
        + [str(DEPLOY / f"{name}.toml") for name in FOUR],
        capture_output=True,
        text=True,
        check=False,
        env={name: text for name, text in os.environ.items() if not name.startswith("ROLEHOST")}
        | ENVIRON,
    )
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stdout + done.stderr
    reported = json.loads(done.stdout)
    assert reported["ok"] and not any(fleet["warnings"] for fleet in reported["fleets"]), reported
    return seconds, used
