"""Engines in the background: up, env, status and down, as scripts/services.sh calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost_testing.pytest_plugin import unavailable
from rolehost_testing.services import Missing, background
from rolehost_testing.services.engines import VARIABLES
from rolehost_testing.services.guardian import family
from rolehost_testing.services.places import program

from contrib.testing.tests.engines import until

pytestmark = pytest.mark.own_server


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Where the state of a set is kept; the set is ended after the test."""
    try:
        program("redis-server", "redis-server")
    except Missing as missing:
        unavailable(str(missing))
    yield tmp_path / "deep" / "services.json"
    background.down(tmp_path / "deep" / "services.json")


def services(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as scripts/services.sh does, with no engine in the environment."""
    kept = {key: value for key, value in os.environ.items() if key not in VARIABLES.values()}
    return subprocess.run(
        [sys.executable, "-m", "rolehost_testing.services", "--state", state, *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_env_prints_variables_of_running_servers(state: Path) -> None:
    assert services(state, "status").returncode == 1
    assert services(state, "up", "redis").returncode == 0
    assert services(state, "status").returncode == 0
    exported = services(state, "env").stdout
    assert exported.startswith("export ROLEHOST_TEST_REDIS_URL=redis://127.0.0.1:")
    holder = background.read(state)
    assert holder is not None
    assert services(state, "up", "redis").returncode == 0
    assert services(state, "env").stdout == exported
    assert services(state, "down").returncode == 0
    until(lambda: not family(holder["pid"]))
    assert services(state, "env").stdout == ""
    assert services(state, "down").returncode == 0


def test_a_set_ends_with_the_process_that_it_was_started_for(state: Path) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    try:
        assert services(state, "up", "redis", "--owner", str(owner.pid)).returncode == 0
        holder = background.read(state)
        assert holder is not None
        engines = family(holder["pid"])
        assert len(engines) > 1
    finally:
        owner.kill()
        owner.wait()
    until(lambda: not any(family(pid) for pid in engines))
    assert not state.exists()


def test_servers_named_in_the_environment_are_not_started(state: Path) -> None:
    done = services(state, "up", "redis", ROLEHOST_TEST_REDIS_URL="redis://elsewhere:1/0")
    assert done.returncode == 0
    assert "of the environment: ROLEHOST_TEST_REDIS_URL" in done.stderr
    assert services(state, "env").stdout == ""


def test_an_unknown_engine_is_refused_with_those_that_there_are(state: Path) -> None:
    done = services(state, "up", "oracle")
    assert done.returncode == 2
    assert "expected one of postgres, redis, memcached, kafka, got oracle" in done.stderr
