"""The embedded default in a temporary folder: deploy/embedded.toml on a free port."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
        path: its file.
        url: where its HTTP API is.
        host: the supervisor.
    """

    path: Path
    url: str
    host: Running


@contextmanager
def embedded(extra: str = "") -> Iterator[Deployed]:
    """Run the embedded default until the block ends; ``extra`` is appended to its file."""
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


@contextmanager
def client_services(path: Path) -> Iterator[ProcessServices]:
    """Give the services of a deployment to this process, to publish events as a program does."""
    from rolehost.composition import compose
    from rolehost.deployment import load
    from rolehost.services import ProcessServices

    services = ProcessServices(compose(load(path)), role="command")
    try:
        yield services
    finally:
        services.close()
