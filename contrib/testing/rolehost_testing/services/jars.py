"""The jars of the Apache Kafka release, in a cache folder.

The list and the checksums are in ``kafka-4.1.1.txt``. :func:`folder` uses the cache or the local
Maven repository, without network access; :func:`bring` downloads missing jars.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath

from rolehost_testing.services.places import Missing

VERSION = "4.1.1"

#: The oldest supported Java version.
JAVA = 17

#: Environment variable: folder instead of ``$XDG_CACHE_HOME/rolehost/kafka-4.1.1``.
FOLDER = "ROLEHOST_KAFKA_LIBS"

#: Environment variable: URL of a repository instead of Maven Central.
REPOSITORY = "ROLEHOST_MAVEN_REPOSITORY"
CENTRAL = "https://repo1.maven.org/maven2"

_LIST = Path(__file__).with_name(f"kafka-{VERSION}.txt")


@cache
def wanted() -> dict[PurePosixPath, str]:
    """Return the SHA-256 checksum of every jar, by its path in a Maven repository."""
    lines = _LIST.read_text("ascii").splitlines()
    pairs = (line.split() for line in lines if not line.startswith("#"))
    return {PurePosixPath(path): digest for digest, path in pairs}


def place() -> Path:
    """Return the path of the folder of the jars, which may not exist."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rolehost" / f"kafka-{VERSION}"


def _complete(folder: Path) -> bool:
    return all((folder / path.name).exists() for path in wanted())


def folder() -> Path:
    """Return the folder of the jars; fill it from the local Maven repository if possible.

    Raises:
        Missing: the jars are not on this machine.
    """
    found = place()
    if not _complete(found) and not _fill(found, _local):
        raise Missing(
            f"the jars of Apache Kafka {VERSION} are not in {found}; fix:"
            " scripts/services.sh install, or name a server of yours in the environment"
        )
    return found


def bring() -> Path:
    """Return the folder of the jars; download those that are not on this machine.

    Raises:
        OSError: a download failed or has the wrong checksum.
    """
    found = place()
    if not _complete(found):
        _fill(found, lambda path: _local(path) or _downloaded(path))
    return found


def _local(path: PurePosixPath) -> bytes | None:
    file = Path.home() / ".m2" / "repository" / path
    return file.read_bytes() if file.exists() else None


def _downloaded(path: PurePosixPath) -> bytes:
    base = os.environ.get(REPOSITORY, CENTRAL).rstrip("/")
    with urllib.request.urlopen(f"{base}/{path}", timeout=60) as answer:
        read: bytes = answer.read()
    return read


def _fill(folder: Path, get: Callable[[PurePosixPath], bytes | None]) -> bool:
    """Fill the folder; if a jar is missing, leave the folder unchanged and return False."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        with ThreadPoolExecutor(8) as pool:
            if not all(pool.map(lambda path: _put(Path(made), path, get), wanted())):
                return False
        folder.mkdir(exist_ok=True)
        # Each move is atomic, because another process may fill the folder with the same jars.
        for jar in sorted(Path(made).glob("*.jar")):
            jar.replace(folder / jar.name)
    return True


def _put(folder: Path, path: PurePosixPath, get: Callable[[PurePosixPath], bytes | None]) -> bool:
    content = get(path)
    if content is None:
        return False
    digest = wanted()[path]
    if hashlib.sha256(content).hexdigest() != digest:
        raise OSError(f"{path}: not what the release has: expected SHA-256 {digest}")
    (folder / path.name).write_bytes(content)
    return True


@cache
def java() -> Path:
    """Return the program of a Java runtime that is new enough.

    Raises:
        Missing: there is no such runtime.
    """
    home = os.environ.get("JAVA_HOME")
    found = (home and shutil.which("java", path=f"{home}/bin")) or shutil.which("java")
    fix = "fix: scripts/services.sh install, or apt-get install default-jre-headless"
    if not found:
        raise Missing(f"Apache Kafka needs a Java runtime, {JAVA} or newer; {fix}")
    output = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    # Format: openjdk version "17.0.15" 2025-04-15
    number = re.search(r'version "(\d+)', output)
    if number is None or int(number[1]) < JAVA:
        line = output.partition("\n")[0] or "no version"
        raise Missing(f"Apache Kafka needs Java {JAVA} or newer; {found} says: {line}; {fix}")
    return Path(found)
