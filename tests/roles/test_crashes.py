"""Ephemeral messages that killed processes: when they run, and when they are dead letters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.broker import MessageProxy
from rolehost.api import StorageUnavailable, actor
from rolehost.roles.worker.ephemeral import ClaimLost, Crashed, PoisonMessages

PATIENCE = 60.0


@actor(durable=False, max_crashes=2)
def risky(services) -> None: ...


class Suspect(MessageProxy):
    """A message as a broker gives it to a worker."""

    def __init__(self, crashes: int | None, actor_name: str = "risky") -> None:
        super().__init__(Message("default.ephemeral", actor_name, (), {}, {}))
        self.crashes = crashes
        self.answer: bool | Exception = True
        self.started = 0

    def start(self) -> bool:
        self.started += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def given_up() -> list[str]:
    return []


@pytest.fixture
def crashes(given_up: list[str]) -> Any:
    return PoisonMessages({"risky": risky}, given_up.append)


def test_of_a_message_that_no_process_died_with_no_start_is_recorded(crashes):
    message = Suspect(None)
    crashes.before_process_message(None, message)
    crashes.before_process_message(None, MessageProxy(message._message))
    assert not message.started


def test_a_message_with_too_many_crashes_is_dead_without_a_start(crashes, given_up):
    message = Suspect(1)
    crashes.before_process_message(None, message)
    crashes.after_ack(None, message)
    assert (message.started, message.failed, given_up) == (1, False, [])
    message = Suspect(2)
    with pytest.raises(Crashed, match="its process died 2 times while running it"):
        crashes.before_process_message(None, message)
    assert (message.started, message.failed, given_up) == (0, True, ["risky"])


def test_a_message_of_an_unknown_actor_is_the_brokers_to_refuse(crashes):
    message = Suspect(9, "unknown")
    crashes.before_process_message(None, message)
    assert (message.started, message.failed) == (0, False)


def test_a_message_of_another_worker_does_not_run_and_one_whose_start_cannot_be_recorded_does(
    crashes,
):
    message = Suspect(0)
    message.answer = False
    with pytest.raises(ClaimLost):
        crashes.before_process_message(None, message)
    assert not message.failed
    message.answer = StorageUnavailable("away")
    crashes.before_process_message(None, message)


@pytest.mark.parametrize("end", ["after_ack", "after_nack"])
def test_a_suspected_message_waits_for_the_end_of_another_suspect(crashes, end):
    first, second, uncharged = Suspect(1), Suspect(1), Suspect(0)
    crashes.before_process_message(None, first)
    waits = threading.Thread(target=crashes.before_process_message, args=(None, second))
    waits.start()
    goes = threading.Thread(target=crashes.before_process_message, args=(None, uncharged))
    goes.start()
    goes.join(PATIENCE)
    assert (uncharged.started, second.started) == (1, 0)
    getattr(crashes, end)(None, first)
    waits.join(PATIENCE)
    assert second.started


def test_a_message_that_could_not_be_acknowledged_blocks_no_other(crashes):
    first, second = Suspect(1), Suspect(1)
    crashes.before_process_message(None, first)
    crashes.before_process_message(None, second)
    assert second.started


PLUGIN = """
import os
from pathlib import Path

from rolehost.api import PluginInfo, actor, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, requires=("queue", "database"))


@actor(durable=False, max_crashes=1)
def work(services, number: int):
    if number == 0:
        os.abort()
    with Path(__file__).with_name("ran").open("a") as notes:
        notes.write(f"{number}\\n")


@hookimpl
def rolehost_actors():
    return [work]
"""


@pytest.mark.processes
@pytest.mark.needs("rolehost_embedded")
def test_a_worker_outlives_the_message_that_killed_those_before_it(tmp_path: Path):
    from rolehost_embedded.queue import EmbeddedQueue
    from rolehost_embedded.settings import EmbeddedSettings

    (tmp_path / "deadly.py").write_text(PLUGIN)
    metadata = tmp_path / "deadly-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rolehost]\ndeadly = deadly\n")
    deployment = tmp_path / "d.toml"
    deployment.write_text(
        'plugins = ["embedded", "deadly"]\n[worker]\nthreads = 1\n'
        '[embedded]\npath = "s.db"\nmessage_lease = 1.0\n'
    )
    found = (str(tmp_path), os.environ.get("PYTHONPATH", ""))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))}
    role = [sys.executable, "-m", "rolehost.roles", "--role", "worker", "--migrate"]
    command = [*role, "--deployment", str(deployment)]
    queue = EmbeddedQueue(EmbeddedSettings(path=tmp_path / "s.db"))
    broker = queue.broker()
    broker.declare_queue("default.ephemeral")
    for number in range(4):
        broker.enqueue(Message("default.ephemeral", "work", (), {"number": number}, {}))

    for _ in range(1 + 1):  # the first death goes unseen
        died = subprocess.run(command, env=environ, timeout=PATIENCE, check=False)
        assert died.returncode == -signal.SIGABRT
    with subprocess.Popen(command, env=environ) as worker:
        try:
            broker.join("default.ephemeral", timeout=int(PATIENCE * 1000))
        finally:
            worker.terminate()
        assert worker.wait(PATIENCE) == 0

    (letter,) = queue.dead_messages(10)
    assert letter.reason == "Crashed: its process died 1 times while running it"
    assert set((tmp_path / "ran").read_text().split()) == {"1", "2", "3"}
    queue.close()
