"""Svix's clients from their registries, each in a separate folder below ``.cache/fixtures``.

The repository contains no part of them. A complete folder is reused.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.proofs.kit import FIXTURES, Unavailable

DRIVERS = Path(__file__).with_name("svix")

#: Timeout in seconds for a registry.
PATIENCE = 600

GO_MODULE = "github.com/svix/svix-webhooks"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>proof</groupId><artifactId>proof</artifactId>
<version>1</version><dependencies><dependency><groupId>com.svix</groupId>
<artifactId>svix</artifactId><version>{version}</version></dependency></dependencies></project>
"""


@dataclass(frozen=True, slots=True)
class Client:
    """One release of one client.

    Attributes:
        language: name of the language.
        version: the release.
        operations: number of the driver's operations that this release supports.
        get: installs it and returns the command that runs the driver.
        suite: the command that runs the package's tests; None if there are none.
    """

    language: str
    version: str
    get: Callable[[str], Command]
    operations: int = 39
    suite: Callable[[str], Command] | None = None

    def __str__(self) -> str:
        return f"{self.language} {self.version}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run: its arguments, folder and further environment."""

    arguments: list[str]
    folder: Path
    environment: dict[str, str]

    def run(self, *more: str, environment: dict[str, str] | None = None) -> str:
        """Run the command and return its output.

        Raises:
            AssertionError: it fails; the message is its output.
        """
        done = subprocess.run(
            [*self.arguments, *more],
            cwd=self.folder,
            env={**os.environ, **self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (
            f"{' '.join(self.arguments)}: {(done.stdout + done.stderr)[-3000:]}"
        )
        return done.stdout


def python(version: str) -> Command:
    """Return the command of the Python client, with the dependencies of the newest release."""

    def fetch(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        _fetch([*pip, str(folder), f"svix=={version}"], folder)

    folder = _cached(f"svix-python-{version}", fetch)
    return Command([sys.executable, str(DRIVERS / "drive.py")], folder, {"PYTHONPATH": str(folder)})


def javascript(version: str) -> Command:
    """Return the command of the JavaScript client."""

    def fetch(folder: Path) -> None:
        npm = [_program("npm"), "install", "--silent", "--no-save", "--prefix", str(folder)]
        _fetch([*npm, f"svix@{version}"], folder)

    folder = _cached(f"svix-javascript-{version}", fetch)
    package = folder / "node_modules" / "svix"
    return Command([_program("node"), str(DRIVERS / "drive.mjs"), str(package)], folder, {})


def go(version: str) -> Command:
    """Return the command of the Go client."""
    folder = _go_module(version)
    return Command([_program("go"), "run", "."], folder, {"GOFLAGS": "-mod=mod"})


def go_suite(version: str) -> Command:
    """Return the command of the Go module's tests; one of them needs a server."""
    folder = _go_module(version)
    packages = f"{GO_MODULE}/go/..."
    test = [_program("go"), "test", "-count=1", packages]
    return Command(test, folder, {"GOFLAGS": "-mod=mod"})


def java(version: str) -> Command:
    """Return the command of the Java client."""

    def fetch(folder: Path) -> None:
        (folder / "pom.xml").write_text(POM.format(version=version))
        copy = "dependency:copy-dependencies"
        _fetch([_program("mvn"), "-q", "-B", copy, f"-DoutputDirectory={folder}"], folder)

    folder = _cached(f"svix-java-{version}", fetch)
    run = [_program("java"), "-cp", f"{folder}/*", str(DRIVERS / "Drive.java")]
    return Command(run, folder, {})


def ruby(version: str) -> Command:
    """Return the command of the Ruby client."""

    def fetch(folder: Path) -> None:
        install = [_program("gem"), "install", "--quiet", "--no-document", "--install-dir"]
        _fetch([*install, str(folder), "svix", "--version", version], folder)

    folder = _cached(f"svix-ruby-{version}", fetch)
    return Command([_program("ruby"), str(DRIVERS / "drive.rb")], folder, {"GEM_PATH": str(folder)})


def _go_module(version: str) -> Path:
    def fetch(folder: Path) -> None:
        requirement = f"module drive\n\ngo 1.21\n\nrequire {GO_MODULE} v{version}\n"
        (folder / "go.mod").write_text(requirement)
        shutil.copy(DRIVERS / "drive.go", folder)
        _fetch([_program("go"), "get", "-t", f"{GO_MODULE}/go@v{version}"], folder)

    folder = _cached(f"svix-go-{version}", fetch)
    shutil.copy(DRIVERS / "drive.go", folder)
    return folder


def _cached(name: str, fetch: Callable[[Path], None]) -> Path:
    """Return a folder that ``fetch`` has filled, now or earlier."""
    folder = FIXTURES / name
    complete = folder / ".complete"
    if not complete.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch(folder)
        complete.touch()
    return folder


def _fetch(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{' '.join(arguments)}: {words[-1] if words else done.returncode}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found
