"""Dramatiq's own tests hold when its messages are jobs of the ledger."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.proofs import dramatiq_suite
from tests.proofs.kit import ROOT, Figures, Options, Unavailable

PROMISE = (
    "Dramatiq's own tests of actors, callbacks, pipelines, groups, generic actors, messages and"
    " results, from the source distribution of the installed version, pass when its messages are"
    " jobs of rolehost; the tests that differ are listed with the reason"
)
DURATION = "about 1 min"

#: The files of Dramatiq's tests that do not test one broker or its command line.
FILES = ("actors", "callbacks", "composition", "generic_actors", "messages", "results")

_STUB = "it looks into the queue of the stub broker"
_PAUSE = "it pauses a worker in the test's process; `rolehost limits` and the supervisor do that"
_ETA = "it tests the delay queue of Dramatiq's worker; here a delayed message is a delayed job"
#: Tests that do not hold, and why.
DIFFERENCES = {
    "test_actors_can_be_sent_messages": _STUB,
    "test_messageproxy_representation": _STUB,
    "test_workers_can_be_paused": _PAUSE,
    "test_actors_can_prioritize_work": _PAUSE,
    "test_worker_handles_non_numeric_eta_and_logs_warning": _ETA,
    "test_worker_handles_none_eta": _ETA,
    "test_actor_messages_can_be_assigned_time_limits": "the time limit is the actor's",
    "test_messages_belonging_to_missing_actors_are_rejected": "a message without an actor is"
    " refused when it is sent, or goes to the broker that was set before",
    "test_workers_log_rate_limit_exceeded_errors_differently": "the log lines are the host's",
    "test_actor_warning_when_returns_result_and_no_results_middleware_present": "the log lines"
    " are the host's",
    "test_messages_without_actor_not_crashing_lookup_options": "it needs Dramatiq's Redis fixture",
}


def prove(options: Options) -> Figures:
    """Run the tests; every difference must be listed, and every listed one must exist."""
    del options
    with TemporaryDirectory(prefix="rolehost-dramatiq-") as folder:
        results = _run(_prepared(Path(folder)))
    counts = Counter(results.values())
    failed = {name for name, result in results.items() if result != "passed"}
    wrong = [f"{name} fails and is not listed" for name in sorted(failed - DIFFERENCES.keys())]
    wrong += [f"{name} is listed and passes" for name in sorted(DIFFERENCES.keys() - failed)]
    assert not wrong, "; ".join(wrong)
    return {
        "dramatiq": version("dramatiq"),
        "passed": counts["passed"],
        "differ": len(failed),
        "tests": len(results),
    }


def _prepared(folder: Path) -> Path:
    """Return a folder with Dramatiq's tests and our fixtures.

    Raises:
        Unavailable: the source distribution cannot be downloaded.
    """
    wanted = f"dramatiq=={version('dramatiq')}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    downloaded = subprocess.run(
        [*pip, "--no-build-isolation", "--dest", folder, wanted], capture_output=True, text=True
    )
    if downloaded.returncode:
        raise Unavailable(f"{wanted} cannot be downloaded: {downloaded.stderr.strip()[-500:]}")
    (archive,) = folder.glob("dramatiq-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (source,) = folder.glob("dramatiq-*/tests")
    suite = folder / "suite"
    suite.mkdir()
    for name in FILES:
        shutil.copy(source / f"test_{name}.py", suite)
    for ours in ("__init__.py", "common.py", "conftest.py"):
        shutil.copy(Path(dramatiq_suite.__file__).parent / ours, suite)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=prepend\n")
    return folder


def _run(folder: Path) -> dict[str, str]:
    """Run the tests; return the result of each by name."""
    report = folder / "report.xml"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
         "suite"],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert report.exists(), ran.stdout[-2000:] + ran.stderr[-2000:]
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = re.sub(r"\[.*", "", case.attrib["name"])
        passed = case.find("failure") is None and case.find("error") is None
        results[name] = "passed" if passed and results.get(name) != "failed" else "failed"
    return results
