"""Four deployments, one for each role, as separate process trees on dedicated engines."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tests.check.casefile import install
from tests.proofs.kills import processes
from tests.proofs.kit import ROOT, Unavailable
from tests.proofs.running import READY, Running, free_port, running

if TYPE_CHECKING:
    from rolehost.services import ProcessServices
    from rolehost_testing.services import Server

#: The proof's own plugins.
PLUGINS = ROOT / "tests" / "plugins" / "entries"

#: Deployment → its plugins, and its role.
PARTS = {
    "api": (("entries-api", "webhooks-api"), "http"),
    "worker": (("entries-work", "webhooks-delivery"), "worker"),
    "events": (("entries-events", "webhooks-ingest"), "consumer"),
    "scheduler": (("entries-clock",), "scheduler"),
}


class Engines(NamedTuple):
    """Servers that only this proof uses."""

    postgres: Server
    redis: Server
    kafka: Server


@contextmanager
def engines() -> Iterator[Engines]:
    """Start the engines, and stop them at the end.

    Raises:
        Unavailable: an engine is not installed on this machine.
    """
    from rolehost_testing.services import Missing, start

    with ExitStack() as stack:
        try:
            yield Engines(
                stack.enter_context(
                    # The proof measures recovery by the commit times of the effects.
                    start("postgres", parameters={"track_commit_timestamp": "on"})
                ),
                stack.enter_context(start("redis")),
                stack.enter_context(start("kafka")),
            )
        except Missing as missing:
            raise Unavailable(str(missing)) from None


class Fleet(NamedTuple):
    """The running deployments.

    Attributes:
        url: URL of the HTTP API.
        folder: folder of the deployment files.
        hosts: the supervisors, by deployment.
    """

    url: str
    folder: Path
    hosts: Mapping[str, Running]

    def pids(self, role: str) -> list[int]:
        """Return the current processes of a role, sorted; gunicorn's workers too."""
        found = [each for host in self.hosts.values() for each in processes(host.pid)]
        return sorted(pid for pid, name in found if name == role)

    def workers(self, role: str) -> list[int]:
        """Return the processes that do the role's work: all except gunicorn's master."""
        pids = self.pids(role)
        return [pid for pid in pids if parent_of(pid) in pids] if role == "http" else pids

    def said(self, words: str) -> int:
        """Count the fleet's log lines that contain these words."""
        return sum(host.output.count(words) for host in self.hosts.values())


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def deployed(servers: Engines, extra: str = "") -> Iterator[Fleet]:
    """Run the four deployments during the block; ``extra`` is appended to the shared settings."""
    with TemporaryDirectory(prefix="rolehost-proof-") as name, ExitStack() as stack:
        folder = Path(name)
        port = free_port()
        for module in ("api", "work", "events", "clock"):
            entry = f"entries-{module} = rolehost_entries.{module}"
            install(folder / "site", "rolehost-entries", "0.1.0", entry)
        (folder / "base.toml").write_text(shared(servers) + extra)
        for deployment, (plugins, _) in PARTS.items():
            (folder / f"{deployment}.toml").write_text(
                'include = ["base.toml"]\n'
                f"plugins = {['postgres', 'redis', 'kafka', *plugins]}\n"
                f'[http]\nbind = "127.0.0.1:{port}"\nprocesses = 2\n'
            )
        found = (str(folder / "site"), str(PLUGINS), os.environ.get("PYTHONPATH", ""))
        path = os.pathsep.join(each for each in found if each)
        hosts = {
            deployment: stack.enter_context(
                running(
                    [sys.executable, "-m", "rolehost", "run", f"{deployment}.toml", "--role", role],
                    folder,
                    {"PYTHONPATH": path},
                )
            )
            for deployment, (_, role) in PARTS.items()
        }
        for host in hosts.values():
            host.until(READY)
        yield Fleet(f"http://127.0.0.1:{port}", folder, hosts)


def shared(servers: Engines) -> str:
    """Return the part of a deployment file that names the engines."""
    return (
        '[deployment]\nenvironment = "production"\nmigrate = "run"\n'
        "[worker]\nprocesses = 2\n[consumer]\nprocesses = 2\n"
        # Only the proof can reach it, and the receiver is on this machine.
        '[webhooks-api]\nauthentication = "proxy"\n'
        "[webhooks-delivery]\nallow_private = true\n"
        '[storage]\ndatabase = "postgres"\nqueue = "redis"\ncache = "redis"\nstream = "kafka"\n'
        f'[postgres]\nurl = "{servers.postgres.url}"\n'
        f'[redis]\nurl = "{servers.redis.url}"\n'
        f'[kafka]\nservers = ["{urlsplit(servers.kafka.url).netloc}"]\npartitions = 4\n'
    )


@contextmanager
def client(fleet: Fleet) -> Iterator[ProcessServices]:
    """Yield services of the events deployment in this process, to publish like a program."""
    from rolehost.composition import compose
    from rolehost.deployment import load
    from rolehost.services import ProcessServices

    sys.path.insert(0, str(PLUGINS))
    try:
        plugin = importlib.import_module("rolehost_entries.events")
    finally:
        sys.path.remove(str(PLUGINS))
    path = fleet.folder / "events.toml"
    services = ProcessServices(
        compose(load(path), extra={"entries-events": plugin}), role="command"
    )
    try:
        yield services
    finally:
        services.close()
