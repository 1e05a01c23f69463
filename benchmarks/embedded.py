"""The deployment ``deploy/embedded.toml`` with all its plugins, in a separate folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.children import Child, running
from benchmarks.deployments import environment, free_port
from benchmarks.model import ROOT

FILE = ROOT / "deploy" / "embedded.toml"


def environment_of(folder: Path) -> dict[str, str]:
    """Create ``folder``; return environment variables that keep the deployment's files in it."""
    folder.mkdir(exist_ok=True)
    return environment(folder) | {
        "ROLEHOST__EMBEDDED__PATH": str(folder / "rolehost.db"),
        "ROLEHOST__LOG__FORMAT": "json",
        "PYTHONDONTWRITEBYTECODE": "",  # an installed host has bytecode; the first run writes it
    }


@contextmanager
def started(folder: Path, port: int | None = None, role: str = "") -> Iterator[Child]:
    """Run the deployment, or one of its roles, with the database in ``folder``.

    The block starts when the supervisor reports that all processes are ready.
    """
    env = environment_of(folder) | {"ROLEHOST__HTTP__BIND": f"127.0.0.1:{port or free_port()}"}
    arguments = ["-m", "rolehost", "run", str(FILE), *(["--role", role] if role else [])]
    with running(arguments, folder, env) as child:
        child.await_line("rolehost is ready")
        yield child
