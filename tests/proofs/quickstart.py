"""The README's quickstart in a new clone with exactly its commands."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.docs.pages import blocks
from tests.proofs.kit import ROOT, Figures, Options, Unavailable
from tests.proofs.running import READY, eventually, free_port, running

PROMISE = (
    "A fresh clone and the README's quickstart: an event posted by curl arrives, signed, in the"
    " receiver, and its attempt is listed, within 60 s of the clone"
)
DURATION = "about 40 s"

#: Maximum seconds from the clone to the listed attempt.
LIMIT = 60.0

#: The host's address in the README.
ADDRESS = "127.0.0.1:8000"


def prove(options: Options) -> Figures:
    """Clone, follow the README, and measure the time; ``--short`` changes nothing."""
    for command in ("git", "curl"):
        if shutil.which(command) is None:
            raise Unavailable(f"{command} is not installed")
    steps = options.progress(5, "clone")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rolehost-quickstart-") as folder:
        clone = Path(folder) / "rolehost"
        subprocess.run(["git", "clone", "--quiet", "--local", ROOT, clone], check=True)
        address = _address()
        start, listen, send, look = _commands(clone, address)
        environ = _environ(address)
        steps.advance()
        steps.relabel(start)
        with running(["bash", "-c", f"exec {start}"], clone, environ) as host:
            host.until(READY)
            ready = time.monotonic() - began
            steps.advance()
            steps.relabel("listen")
            with running(["bash", "-c", f"exec {listen}"], clone, environ) as receiver:
                receiver.until("Listening")
                steps.advance()
                steps.relabel("send")
                _run(send, clone)
                receiver.until("verified")
                steps.advance()
                steps.relabel("list")
                listed = eventually(lambda: _run(look, clone), lambda answer: answer["data"] != [])
                seconds = time.monotonic() - began
                steps.advance()
            status = host.stop()
    codes = [attempt["responseStatusCode"] for attempt in listed["data"]]
    assert codes == [204], f"attempts listed: {codes}"
    assert status == 0, f"the host ended with status {status} on TERM"
    assert seconds <= LIMIT, f"{seconds:.1f} s from the clone to the listed attempt"
    return {
        "ready_after_seconds": round(ready, 1),
        "listed_after_seconds": round(seconds, 1),
        "limit_seconds": LIMIT,
        "address": address,
    }


def _commands(clone: Path, address: str) -> list[str]:
    """Return the four commands of the README's terminals in order."""
    found = [
        block.text.strip().replace(ADDRESS, address)
        for block in blocks(clone / "README.md")
        if "terminal" in block.attributes
    ]
    assert len(found) == 4, f"the README has {len(found)} commands in its terminals, not 4"
    return found


def _address() -> str:
    """Return the README's address, or another one if it is in use on this machine."""
    host, _, port = ADDRESS.partition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:{free_port()}"
    return ADDRESS


def _environ(address: str) -> dict[str, str]:
    """Return the environment of the commands: empty, unless the README's port is in use."""
    return {} if address == ADDRESS else {"ROLEHOST__HTTP__BIND": address}


def _run(command: str, where: Path) -> dict[str, list[dict[str, object]]]:
    """Run one of the README's curl commands and return the JSON that it printed."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
    )
    try:
        answer: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise AssertionError(f"{command}\nprinted {done.stdout!r}{done.stderr}") from None
    return answer
