"""Start the two servers of an HTTP pair: the host's role http, and bare Falcon."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import READY, Child, running
from benchmarks.deployments import environment, free_port, many, migrate, place

#: Path of the sample route.
URL = "/orders/42"

#: The host's gunicorn settings as command-line options; see rolehost.roles.http.server.
_GUNICORN = (
    "--worker-class=asgi",
    "--workers=1",
    "--http-parser=python",
    "--header-map=refuse",
    "--no-control-socket",
    "--asgi-lifespan=off",
    "--keep-alive=5",
    "--timeout=60",
    "--log-level=warning",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        child: its process; gunicorn's worker is a child of this process.
        port: its port on 127.0.0.1.
    """

    child: Child
    port: int


@contextmanager
def host(
    folder: Path, *, installed: Sequence[str] = (), others: int = 0, **settings: Any
) -> Iterator[Server]:
    """Serve the sample route with the host.

    Args:
        folder: created if missing.
        installed: names of installed plugins to enable.
        others: number of generated plugins to enable too; they need ``embedded``.
        settings: the settings of ``[http]``.
    """
    port = free_port()
    folder.mkdir()
    plugins = {"bench-routes": "benchmarks.programs.plugin:routes", **many(folder, others)}
    sections: dict[str, Mapping[str, Any]] = {"http": {"bind": f"127.0.0.1:{port}", **settings}}
    if "embedded" in installed:
        sections["embedded"] = {"path": str(folder / "bench.db")}
    made = place(folder, plugins, installed, **sections)
    if "embedded" in installed:
        migrate(made)
    arguments = ["-m", "rolehost.roles", "--role", "http", "--deployment", str(made.file)]
    with running(arguments, folder, made.env) as child:
        child.await_ready()
        await_answer(child, port)
        yield Server(child, port)


@contextmanager
def falcon(folder: Path, *, usual: bool = False) -> Iterator[Server]:
    """Serve the sample route with Falcon and gunicorn alone.

    Args:
        folder: created if missing.
        usual: add the middleware that services usually have.
    """
    port = free_port()
    folder.mkdir()
    env = environment(folder)
    if usual:
        metrics = folder / "metrics"
        metrics.mkdir()
        env |= {"BENCH_USUAL": "1", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    bind = f"--bind=127.0.0.1:{port}"
    arguments = ["-m", "gunicorn", *_GUNICORN, bind, "benchmarks.programs.bare_falcon:app"]
    with running(arguments, folder, env) as child:
        await_answer(child, port)
        yield Server(child, port)


def await_answer(child: Child, port: int, path: str = URL) -> None:
    """Wait until a server answers a GET with 200.

    Raises:
        Unmeasured: it ended, answered something else, or took too long.
    """
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            raise child.failure("ended before it answered")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except OSError:
            time.sleep(0.02)
            continue
        finally:
            connection.close()
        if status == http.client.OK:
            return
        raise child.failure(f"answered {status}")
    raise child.failure("did not answer")
