"""Each failure of an ephemeral message is one log line, without the arguments."""

from __future__ import annotations

import logging

import pytest
from rolehost.api import RetryPolicy, actor
from rolehost.roles.worker.role import WorkerRole
from structlog.testing import capture_logs

pytestmark = [pytest.mark.needs("rolehost_embedded"), pytest.mark.needs("dramatiq")]


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def test_a_failed_message_and_a_dead_message_are_logged_once_each(host, collected) -> None:
    @actor(durable=False, retry=RetryPolicy(attempts=2, base=0.01, max_delay=0.01, jitter=0))
    def fails(services, secret: str) -> None:
        collected.add(secret)
        raise ValueError("no\nroute")

    here = host([fails])
    heard = Heard()
    logging.getLogger("dramatiq").addHandler(heard)
    with capture_logs() as lines:
        here.start(WorkerRole, "worker")
        here.services.send(fails, secret="hunter2")
        collected.wait(2)
        # A thread logs a failure before it takes the next message, or stops.
        here.stop()
    logging.getLogger("dramatiq").removeHandler(heard)
    reported = [line for line in lines if line["log_level"] in ("warning", "error")]
    assert [(line["event"], line["log_level"], line["attempt"]) for line in reported] == [
        ("message failed", "warning", 1),
        ("message dead", "error", 2),
    ]
    assert {line["actor"] for line in reported} == {"fails"}
    assert {line["error"] for line in reported} == {"ValueError: no route"}
    assert reported[0]["retry_in"] > 0
    assert "hunter2" not in str([{**line, "exc_info": ""} for line in reported])
    assert heard.texts == []
