"""The matched route decides who may use it, and a browser cannot bypass this check."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.proofs.access_matrix import (
    CREDENTIALS,
    MISLEADING,
    Connection,
    ask_all,
    path_of,
    spellings,
)
from tests.proofs.access_witness import RAN, install
from tests.proofs.kit import FIXTURES, ROOT, Figures, Options, Unavailable
from tests.proofs.running import READY, Running, free_port, running

PROMISE = (
    "No spelling of a path or method, and no misleading header, reaches the code of a protected"
    " route without the right token. No page in Chromium can use an API on loopback that has no"
    " token. Files are closed to other users under every umask"
)
DURATION = "about 1 min"

PLUGINS = ("embedded", "ops", "openapi", "graphql", "webhooks-api", "webhooks-ingest", "witness")

#: Minimum number of spellings of a path in the matrix.
FEWEST = 20

UMASKS = ("000", "022", "027", "077")

TOKENS = '[http]\ntoken = "operator"\n[webhooks-api]\ntoken = "client"\n'

PLAYWRIGHT = FIXTURES / "playwright-core-1.65.1"


def prove(options: Options) -> Figures:
    """Send the matrix, try from pages of other origins, and check the file permissions."""
    chromium = _chromium()
    figures: dict[str, Any] = {"seed": options.seed}
    task = options.progress(4 if options.short else 5, "a matrix with tokens")
    with serving(TOKENS) as host:
        figures |= _matrix(host, [{}] if options.short else [{}, MISLEADING])
        task.advance(1)
    task.relabel("a matrix of names")
    with serving("") as host:
        figures["foreign_names"] = _foreign_names(host)
        task.advance(1)
        task.relabel("pages in Chromium")
        figures |= _browser(host, chromium)
        task.advance(1)
    if not options.short:
        task.relabel("the same pages where everybody is let in")
        with serving('[http]\nauthentication = "none"\n') as host:
            landed = _pages(host, chromium)
            assert host.ran() > 0, f"the pages would not be noticed: {landed}"
            figures["landed_when_open"] = host.ran()
        task.advance(1)
    task.relabel("files under four umasks")
    figures |= _umasks(UMASKS[:1] if options.short else UMASKS)
    task.advance(1)
    return figures


class Host:
    """A running deployment.

    Attributes:
        port: its port on 127.0.0.1.
        routes: its routes, as ``rolehost routes --json`` lists them.
        made: the folders that it creates: for its database and its runtime directory.
    """

    def __init__(
        self, process: Running, port: int, routes: list[dict[str, Any]], made: tuple[Path, ...]
    ) -> None:
        self._process = process
        self.made = made
        self.port = port
        self.routes = routes
        self._counted = 0

    @property
    def closed(self) -> list[dict[str, Any]]:
        """The routes that need authentication."""
        return [route for route in self.routes if route["access"] != "open"]

    def ran(self) -> int:
        """Count the requests that were admitted to a route with authentication."""
        # Everything printed before the answer to this request is in front of its line.
        self._counted += 1
        path = f"/bare/counted-{self._counted}"
        connection = Connection(self.port)
        connection.ask("GET", path, {"Authorization": "Bearer operator"})
        connection.close()
        self._process.until(f"{RAN} GET {path}")
        return self._process.output.count(RAN) - self._counted


@contextmanager
def serving(settings: str, umask: str = "022") -> Iterator[Host]:
    """Run all first-party plugins that have routes, and the witness."""
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        folder, port = Path(name), free_port()
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        environ = install(folder) | {"WITNESS_OPEN": "", "XDG_RUNTIME_DIR": str(runtime)}
        text = f'bind = "127.0.0.1:{port}"\naccess_log = false\n'
        http = settings if "[http]" in settings else f"[http]\n{settings}"
        (folder / "access.toml").write_text(
            f"plugins = {json.dumps(PLUGINS)}\n{http.replace('[http]', f'[http]{chr(10)}{text}')}"
            '[embedded]\npath = "data/access.db"\n'
        )
        rolehost = [sys.executable, "-m", "rolehost"]
        listed = subprocess.run(
            [*rolehost, "routes", "--json", "access.toml"],
            cwd=folder,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert listed.returncode == 0, listed.stderr
        routes = json.loads(listed.stdout)
        environ["WITNESS_OPEN"] = " ".join(
            route["path"] for route in routes if route["access"] == "open"
        )
        command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *rolehost, "run", "access.toml"]
        with running(command, folder, environ) as process:
            process.until(READY)
            yield Host(process, port, routes, (folder / "data", runtime))


def _matrix(host: Host, headers: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Request everything without the right token; then once with it, to test the counter."""
    asked = 0
    for each in headers:
        for request in ask_all(host.port, host.closed, each):
            asked += 1
            assert not 100 <= request.status < 400, f"{request} was answered"
    assert host.ran() == 0, f"responders ran: {host.ran()}"
    counts = [len(set(spellings(path_of(route["path"])))) for route in host.closed]
    assert min(counts) >= FEWEST, f"a path has {min(counts)} spellings alone"
    admitted = _with_tokens(host)
    return {
        "routes": len(host.closed),
        "open": len(host.routes) - len(host.closed),
        "spellings": sum(counts),
        "credentials": len(CREDENTIALS),
        "refused": asked,
        "ran": 0,
        "admitted": admitted,
    }


def _with_tokens(host: Host) -> int:
    """Request each route with the right token; return the number of admitted requests (all)."""
    connection = Connection(host.port)
    for route in host.closed:
        token = "client" if route["plugin"] in ("webhooks-api", "graphql") else "operator"
        method = next(each for each in route["methods"] if each != "WEBSOCKET")
        headers = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
        status = connection.ask(method, path_of(route["path"]), headers)
        assert status not in (0, 401, 403), f"{route['path']} is closed to the right token"
    connection.close()
    assert host.ran() == len(host.closed), f"{host.ran()} of {len(host.closed)} were seen to run"
    return host.ran()


def _foreign_names(host: Host) -> int:
    """Request every route without a token, with host names of other machines."""
    asked = 0
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{host.port}"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        for request in ask_all(host.port, host.closed, headers, spelled=False):
            asked += 1
            assert not 100 <= request.status < 400, f"{request} with {headers} was answered"
    assert host.ran() == 0, f"responders ran: {host.ran()}"
    return asked


def _browser(host: Host, chromium: str) -> dict[str, Any]:
    """Let pages of other origins try everything, then a page of the host itself."""
    seen = _pages(host, chromium)
    version = seen.pop("version")
    assert host.ran() == 0, f"pages of other origins reached responders: {seen}"
    read = [
        f"{page}: {attempt} {answer}"
        for page, attempts in seen.items()
        for attempt, answer in attempts.items()
        if answer.endswith((" 200", " 201", " 204", "open"))
    ]
    assert read == [], f"pages of other origins were answered: {read}"
    own = _script(host, chromium)["own"]
    assert own == 200, f"a page of the host itself was answered {own}"
    attempts = sum(len(each) for each in seen.values())
    return {"chromium": version.partition(".")[0], "pages": len(seen), "attempts": attempts}


def _pages(host: Host, chromium: str) -> dict[str, Any]:
    """Let pages of other origins try everything; return the data that they could read."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return _script(host, chromium, f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()
        server.server_close()


def _script(host: Host, chromium: str, *pages: str) -> dict[str, Any]:
    script = ROOT / "tests" / "proofs" / "access_browser.js"
    url = f"http://127.0.0.1:{host.port}"
    done = subprocess.run(
        ["node", script, PLAYWRIGHT, chromium, url, *pages],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class Page(BaseHTTPRequestHandler):
    """An empty page on another port."""

    def do_GET(self) -> None:
        """Answer every path with the page."""
        body = b"<!doctype html><title>page</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def _umasks(umasks: Sequence[str]) -> dict[str, Any]:
    """Run the host with each umask; only the owner can access its files and folders."""
    files = 0
    for umask in umasks:
        with serving("", umask) as host:
            assert host.ran() == 0
            found = [each for folder in host.made for each in _modes(folder)]
        files += len(found)
        others = [f"{mode:04o} {path}" for path, mode in found if mode & 0o077]
        assert others == [], f"with umask {umask} others may use {others}"
    return {"umasks": len(umasks), "files": files}


def _modes(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield a folder and its content with the permission bits."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():  # a symbolic link has no permissions
            yield path, stat.S_IMODE(path.lstat().st_mode)


def _chromium() -> str:
    """Return the command of Chromium.

    Raises:
        Unavailable: Chromium, node or playwright-core is not installed.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None or shutil.which("node") is None:
        raise Unavailable("chromium or node is missing; fix: scripts/system.sh")
    if not PLAYWRIGHT.is_dir():
        raise Unavailable(f"{PLAYWRIGHT} is missing; fix: scripts/fixtures.sh")
    return chromium
