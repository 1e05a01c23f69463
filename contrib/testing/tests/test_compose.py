"""Engines in containers: the commands for the container engine, recorded by a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost_testing.services import Missing, compose, jars, start

RECORDING = """#!/bin/sh
echo "PORT=$PORT $*" >>{record}
case "$*" in *"ps -q"*) echo 0f3a ;; inspect*) echo 4711 ;; *logs*) echo ready ;; esac
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Commands that a container engine without effect got; there are no other engines."""
    program, record = tmp_path / "docker", tmp_path / "record"
    program.write_text(RECORDING.format(record=record), "utf-8")
    program.chmod(0o755)
    (tmp_path / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rolehost_testing.services.places.ELSEWHERE", ())
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(jars, "java", jars.java.__wrapped__)
    compose.engine.cache_clear()
    yield record
    compose.engine.cache_clear()


def asked(record: Path, port: int) -> list[str]:
    """Return the commands for the project at a port, without their constant part."""
    lines = record.read_text("utf-8").splitlines()
    mine = [line for line in lines if line.startswith(f"PORT={port} compose -p rolehost-")]
    return [line.split("compose.yaml ")[1] for line in mine]


@pytest.mark.parametrize(
    ("engine", "scheme", "at_once"),
    [
        ("postgres", "postgresql://rolehost@", "SIGQUIT"),
        ("redis", "redis://", "SIGKILL"),
        ("memcached", "memcached://", "SIGKILL"),
        ("kafka", "kafka://", "SIGKILL"),
    ],
)
def test_server_operations_act_on_the_container(
    record: Path, engine: str, scheme: str, at_once: str
) -> None:
    with start(engine) as server:
        assert server.url.startswith(f"{scheme}127.0.0.1:{server.port}")
        assert server.pid == 4711
        assert server.log == "ready\n"
        server.freeze()
        server.thaw()
        server.restart()
        server.stop(immediate=True)
        assert not server.running
    up = f"up --detach --wait --wait-timeout 120 {engine}"
    assert asked(record, server.port) == [
        *(up, f"ps -q {engine}", f"logs --no-color {engine}", f"pause {engine}"),
        *(f"unpause {engine}", f"stop {engine}", up),
        *(f"kill -s {at_once} {engine}", f"stop {engine}"),
        "down --volumes --timeout 0",
    ]


def test_options_need_an_engine_of_the_machine(record: Path) -> None:
    with pytest.raises(Missing):
        start("redis", tls=True)
    assert not record.exists() or "up" not in record.read_text("utf-8")


def test_every_engine_is_a_service_at_the_given_port() -> None:
    text = compose._FILE.read_text("utf-8")
    for name in compose._URLS:
        assert f"\n  {name}:\n    image: " in text
    assert text.count('ports: ["127.0.0.1:${PORT}:') == len(compose._URLS)
