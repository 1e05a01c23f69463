"""The kit in a package outside of this repository, which has nothing but rolehost[testing]."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
from rolehost.api import PluginInfo, actor, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, requires=("database",), enqueues=("greet",))


@actor(name="greet")
def greet(job, name: str):
    print("hello", name)


@hookimpl
def rolehost_actors():
    return [greet]
"""

TESTS = """
import sys

import greetings


def test_the_host_is_not_imported_before_a_fixture_is_used():
    loaded = {name for name in sys.modules if name.startswith("rolehost_testing.")}
    assert loaded == {"rolehost_testing.pytest_plugin"}
    assert not {"falcon", "peewee", "dramatiq"} & set(sys.modules)


def test_a_greeting(host, capsys):
    here = host(plugins=[greetings])
    here.services.enqueue(greetings.greet, name="you")
    here.assert_enqueued("greet", name="you")
    assert here.drain().names == ["greet"]
    assert "hello you" in capsys.readouterr().out
"""


# Storage in memory is SQLite with peewee, of rolehost[testing].
pytestmark = [pytest.mark.processes, pytest.mark.needs("peewee")]


def run(folder: Path, tests: str, plugin: str = "") -> subprocess.CompletedProcess[str]:
    if plugin:
        (folder / "greetings.py").write_text(plugin)
    (folder / "test_outside.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_plugin_of_its_own_is_tested_with_the_fixture_alone(tmp_path: Path):
    plugin = PLUGIN
    # Introducing the host's API is the plugin's doing: the second test's, not the first one's.
    tests = TESTS.replace("import greetings\n", "", 1).replace(
        "    here = host(", "    import greetings\n\n    here = host("
    )
    done = run(tmp_path, tests, plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_failed_assertion_shows_the_tests_own_line_and_no_other(tmp_path: Path):
    tests = "import greetings\n\n\ndef test_it(host):\n    host([greetings]).assert_enqueued('x')\n"
    done = run(tmp_path, tests, PLUGIN)
    assert "nothing was enqueued at all" in done.stdout
    assert "looking.py" not in done.stdout
