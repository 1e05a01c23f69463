"""Deployments with wrong settings for real engines: one clear line, then the right exit.

The broker of an unsupported version is a stub of Kafka 0.10.1. It only answers which API versions
it supports; the client asks for nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.check.casefile import install
from tests.proofs.bad_settings_cases import MECHANISM, RIGHT, WRONG, Case, Servers, cases
from tests.proofs.kit import Figures, Options, Task, Unavailable
from tests.proofs.old_broker import old_broker
from tests.proofs.running import READY, Running, eventually, free_port, running

PROMISE = (
    "A wrong password, database, host, TLS setting, Kafka version or topic is reported in one line"
    " that names backend and setting and shows no secret; the process waits, alive and unready, if"
    " the engine may still come, and ends with status 3 if the setting cannot be right"
)
DURATION = "about 80 s"

#: Number of deployments that run at the same time.
TOGETHER = 4
#: Timeout in seconds for a case that must exit.
PATIENCE = 60.0
#: Exit status for a wrong configuration.
REFUSED = 3

#: A plugin that needs one kind of storage; it has a route so that there is a role to run.
PLUGIN = """
from rolehost.api import PLUGIN_API, PluginInfo, Route, hookimpl


class Resource:
    async def on_get(self, req, resp):
        resp.media = {{}}


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=PLUGIN_API, summary="Needs", requires={requires}, publishes={publishes})


@hookimpl
def rolehost_routes():
    return [Route("/it", Resource())]
"""
#: The declarations of each of these plugins: requires, publishes.
NEEDS = {
    "database": (("database",), ()),
    "cache": (("cache",), ()),
    "queue": (("queue",), ()),
    "stream": (("stream",), ()),
    "topic": (("stream",), ("bad-settings",)),
}


def prove(options: Options) -> Figures:
    """Run every wrong deployment; if it waits for an engine, start this engine."""
    with servers() as engines, TemporaryDirectory(prefix="rolehost-proof-") as name:
        folder = Path(name)
        write_plugins(folder / "site")
        chosen = [case for case in cases(engines) if not (options.short and case.extended)]
        ends = [case for case in chosen if not case.waits]
        waits = [case for case in chosen if case.waits and case.comes is None]
        away = [case for case in chosen if case.comes is not None]
        line = options.progress(len(chosen), "what is refused")
        with ThreadPoolExecutor(TOGETHER) as pool:
            for _ in pool.map(lambda case: refused(folder, case), ends):
                line.advance()
            line.relabel("hosts that are not there")
            for _ in pool.map(lambda case: waiting(folder, case), waits):
                line.advance()
        seconds = engines_that_come(folder, away, line)
    return {
        "refused": len(ends),
        "waited": len(waits),
        "came": len(away),
        "slowest_ready_s": round(max(seconds), 1),
        "secrets_shown": 0,
    }


@contextmanager
def servers() -> Iterator[Servers]:
    """Start the engines.

    Raises:
        Unavailable: an engine is not installed on this machine.
    """
    from rolehost_testing.services import Missing, start
    from rolehost_testing.services.kafka import Broker

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        try:
            asking: dict[str, Any] = {"password": RIGHT, "tls": True, "client_certificates": True}
            broker = pool.submit(start, "kafka", mechanisms=[MECHANISM], **asking)
            postgres = stack.enter_context(start("postgres", password=RIGHT, tls=True))
            redis = stack.enter_context(start("redis", password=RIGHT))
            redis_tls = stack.enter_context(start("redis", **asking))
            memcached = stack.enter_context(start("memcached"))
            kafka = stack.enter_context(broker.result())
        except Missing as missing:
            raise Unavailable(str(missing)) from None
        assert isinstance(kafka, Broker)
        port = stack.enter_context(old_broker())
        yield Servers(postgres, redis, redis_tls, memcached, kafka, port)


def write_plugins(site: Path) -> None:
    """Install a plugin for each kind of storage."""
    for kind, (requires, publishes) in NEEDS.items():
        install(site, "rolehost-needs", "0.1.0", f"needs-{kind} = needs_{kind}")
        text = PLUGIN.format(requires=requires, publishes=publishes)
        (site / f"needs_{kind}.py").write_text(text)


@contextmanager
def deployed(folder: Path, case: Case) -> Iterator[tuple[Running, str]]:
    """Run a case's deployment; yield it and its URL."""
    port = free_port()
    path = folder / f"{case.name.replace(' ', '-').replace(':', '')}.toml"
    # A plugin that publishes needs a database for the outbox.
    besides = ', "embedded"' if case.kind == "topic" else ""
    path.write_text(
        f'plugins = ["{case.backend}"{besides}, "ops", "needs-{case.kind}"]\n'
        f'[http]\nbind = "127.0.0.1:{port}"\nprocesses = 2\naccess_log = false\n{case.section}'
    )
    found = (str(folder / "site"), os.environ.get("PYTHONPATH", ""))
    environment = {"PYTHONPATH": os.pathsep.join(each for each in found if each)}
    command = [sys.executable, "-m", "rolehost", "run", path]
    with running(command, folder, environment) as host:
        yield host, f"http://127.0.0.1:{port}"


def refused(folder: Path, case: Case) -> None:
    """Check a case that exits: one line, then the status for a wrong configuration."""
    with deployed(folder, case) as (host, _):
        try:
            status = host.wait(seconds=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{case.name}: it waits\n{host.output}") from None
    assert status == REFUSED, f"{case.name}: status {status} instead of {REFUSED}\n{host.output}"
    lines = [line for line in host.output.splitlines() if not line.startswith("migrated ")]
    assert len(lines) == 1, f"{case.name}: {len(lines)} lines instead of one\n{host.output}"
    assert_reported(case, lines[0], host.output)


def waiting(folder: Path, case: Case) -> None:
    """Check a case that waits for an engine that never comes, until it is stopped."""
    with deployed(folder, case) as (host, url):
        assert_waits(case, host, url)
        status = host.stop(seconds=20.0)
    assert status == 0, f"{case.name}: status {status} after TERM\n{host.output}"
    assert_no_secret(case, host.output)


def engines_that_come(folder: Path, away: Sequence[Case], line: Task) -> list[float]:
    """Stop the engines, run the cases, start the engines; return the seconds until ready."""
    line.relabel("engines that come later")
    engines = {id(case.comes): case.comes for case in away if case.comes is not None}
    for engine in engines.values():
        engine.stop()
    seconds = []
    with ExitStack() as stack:
        hosts = [(case, *stack.enter_context(deployed(folder, case))) for case in away]
        for case, host, url in hosts:
            assert_waits(case, host, url)
        for engine in engines.values():
            engine.run()
        began = time.monotonic()
        for case, host, url in hosts:
            host.until(READY)
            seconds.append(time.monotonic() - began)
            assert ask(url + "/readyz") == 200, f"{case.name}: not ready\n{host.output}"
            assert ask(url + "/it") == 200, f"{case.name}: does not serve\n{host.output}"
            status = host.stop()
            assert status == 0, f"{case.name}: status {status} after TERM\n{host.output}"
            assert_no_secret(case, host.output)
            line.advance()
    return seconds


def assert_waits(case: Case, host: Running, url: str) -> None:
    """Assert that the host logged what it waits for, is alive, and is not ready or serving."""
    reported = host.until(case.words)
    assert_reported(case, reported, host.output)
    # One process can log the line before the process with the socket listens.
    alive = eventually(lambda: ask(url + "/healthz"), lambda status: status == 200)
    assert alive == 200, f"{case.name}: liveness {alive}\n{host.output}"
    for path in ("/readyz", "/it"):
        status = ask(url + path)
        assert status == 503, f"{case.name}: {path} answers {status}\n{host.output}"
    assert READY not in host.output, f"{case.name}: ready without its engine\n{host.output}"


def assert_reported(case: Case, line: str, output: str) -> None:
    """Assert that the output is one line with the backend, the setting and the problem."""
    for words in (case.backend, case.setting, case.words):
        assert words in line, f"{case.name}: {words!r} is not in: {line}"
    assert "Traceback" not in output, f"{case.name}: a traceback\n{output}"
    assert_no_secret(case, output)


def assert_no_secret(case: Case, output: str) -> None:
    """Assert that the output contains neither password."""
    for secret in (RIGHT, WRONG):
        assert secret not in output, f"{case.name}: a secret is shown\n{output}"


def ask(url: str) -> int:
    """Return the status of the answer; 0 if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
