"""Run the deployments of ``deploy/`` in a temporary folder on free ports: one, or the fleet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from tests.proofs.kit import ROOT
from tests.proofs.running import READY, Running, free_port, running

if TYPE_CHECKING:
    from rolehost.services import ProcessServices


class Deployed(NamedTuple):
    """A running deployment.

    Attributes:
        path: the deployment file.
        url: URL of the HTTP API.
        host: the supervisor.
    """

    path: Path
    url: str
    host: Running


@contextmanager
def embedded(extra: str = "") -> Iterator[Deployed]:
    """Run the embedded deployment during the block; ``extra`` is appended to its file."""
    with TemporaryDirectory(prefix="rolehost-proof-") as folder:
        port = free_port()
        path = Path(folder, "proof.toml")
        path.write_text(
            f'include = ["{ROOT}/deploy/embedded.toml"]\n'
            f'[http]\nbind = "127.0.0.1:{port}"\n'
            f'[embedded]\npath = "{folder}/service.db"\n{extra}'
        )
        command = [sys.executable, "-m", "rolehost", "run", str(path)]
        with running(command, Path(folder)) as host:
            host.until(READY)
            yield Deployed(path, f"http://127.0.0.1:{port}", host)


class Engines(NamedTuple):
    """The addresses of a fleet's servers, in the form of the plugins' settings.

    Attributes:
        postgres: ``postgresql://…``.
        redis: ``redis://…``.
        memcached: ``host:port``.
        kafka: ``host:port``, separated by commas if there are several.
    """

    postgres: str
    redis: str
    memcached: str
    kafka: str

    def sections(self) -> str:
        """Return them as sections of a deployment file."""
        return (
            f'[postgres]\nurl = "{self.postgres}"\n'
            f'[redis]\nurl = "{self.redis}"\n'
            f'[memcached]\nservers = ["{self.memcached}"]\n'
            f"[kafka]\nservers = {self.kafka.split(',')}\n"
        )


class Fleet(NamedTuple):
    """The four deployments of ``deploy/``, each with a separate supervisor."""

    api: Deployed
    worker: Deployed
    events: Deployed
    scheduler: Deployed


#: The deployments of one fleet.
FLEET = ("api", "worker", "events", "scheduler")


@contextmanager
def fleet(engines: Engines, extra: str = "", *, outcomes: str | None = None) -> Iterator[Fleet]:
    """Run the four deployments during the block.

    Args:
        engines: the engines of the fleet.
        extra: appended to each file.
        outcomes: topic for the webhooks' outcomes; None to not publish them.
    """
    with TemporaryDirectory(prefix="rolehost-fleet-") as folder, ExitStack() as stack:
        members: dict[str, Deployed] = {}
        for name in FLEET:
            port = free_port()
            path = Path(folder, f"{name}.toml")
            path.write_text(
                f'include = ["{ROOT}/deploy/{name}.toml"]\n'
                f"{_with_outcomes(name, outcomes)}"
                "allow_private = true\n"
                # Only the proof can reach it.
                '[webhooks-api]\nauthentication = "proxy"\n'
                f'[http]\nbind = "127.0.0.1:{port}"\nshutdown_delay = 0.0\n'
                f"{engines.sections()}{extra}"
            )
            command = [sys.executable, "-m", "rolehost", "run", str(path)]
            host = stack.enter_context(running(command, Path(folder)))
            members[name] = Deployed(path, f"http://127.0.0.1:{port}", host)
        for member in members.values():
            member.host.until(READY)
        yield Fleet(**members)


def _with_outcomes(name: str, topic: str | None) -> str:
    """Return the start of a deployment file, up to the section of the deliveries."""
    if topic is None or name not in ("worker", "scheduler"):
        return "[webhooks-delivery]\n"
    plugins = ["postgres", "redis", "memcached", "kafka", "ops", "webhooks-delivery"]
    return f'plugins = {plugins}\n[webhooks-delivery]\noutcomes = "{topic}"\n'


@contextmanager
def client_services(path: Path) -> Iterator[ProcessServices]:
    """Yield, in this process, the services of a deployment, to publish events as a program does."""
    from rolehost.composition import compose
    from rolehost.deployment import load
    from rolehost.services import ProcessServices

    services = ProcessServices(compose(load(path)), role="command")
    try:
        yield services
    finally:
        services.close()
