"""``kcat``, a Kafka client that is independent of the host: it shows the data on the wire."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from tests.proofs.kit import Unavailable

#: Timeout in seconds of one call.
PATIENCE = 60


class Read(NamedTuple):
    """One record in kcat's output."""

    headers: dict[str, str]
    key: str | None
    value: bytes


def program() -> str:
    """Return the path of kcat.

    Raises:
        Unavailable: kcat is not installed.
    """
    found = shutil.which("kcat")
    if found is None:
        raise Unavailable("kcat is not installed: apt-get install kcat")
    return found


def read(servers: str, topic: str) -> list[Read]:
    """Return all records of a topic up to its current end."""
    done = _run("-C", "-b", servers, "-t", topic, "-o", "beginning", "-e", "-q", "-J")
    return [_parsed(json.loads(line)) for line in done.splitlines()]


def write(servers: str, topic: str, key: str, headers: Mapping[str, str], value: bytes) -> None:
    """Produce one record. Its value must not contain a line break: kcat splits records there."""
    given = [argument for name, text in headers.items() for argument in ("-H", f"{name}={text}")]
    _run("-P", "-b", servers, "-t", topic, "-k", key, *given, given=value)


def _parsed(record: dict[str, object]) -> Read:
    names = record.get("headers", [])
    assert isinstance(names, list)
    key, payload = record["key"], record["payload"]
    return Read(
        headers=dict(zip(names[::2], names[1::2], strict=True)),
        key=None if key is None else str(key),
        value=b"" if payload is None else str(payload).encode(),
    )


def _run(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        [program(), *arguments], input=given, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"kcat {' '.join(arguments)}: {done.stderr.decode()}"
    return done.stdout
