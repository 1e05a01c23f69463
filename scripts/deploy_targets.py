"""The targets of :mod:`scripts.deploy`: process trees, Docker Compose, Kubernetes."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

#: The host of this checkout.
ROLEHOST = str(Path(sys.prefix) / "bin" / "rolehost")

#: The log line of ``rolehost run`` when every process is ready.
READY = "rolehost is ready"


class Failed(Exception):
    """A step failed; the message contains the command and the end of its output."""


class Shell:
    """Runs commands, or only prints them.

    Args:
        dry: print the commands that would change something, but do not run them.
    """

    def __init__(self, *, dry: bool) -> None:
        self.dry = dry

    def run(self, command: Sequence[str]) -> None:
        """Run a command that changes something, and show its output.

        Raises:
            Failed: the exit status was not 0, or the command was not found.
        """
        print(f"deploy: $ {shlex.join(command)}", flush=True)
        if self.dry:
            return
        try:
            done = subprocess.run(command, check=False)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            raise Failed(f"{shlex.join(command)} ended with status {done.returncode}")

    def look(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a read-only command, with ``--dry-run`` too; return its output.

        Raises:
            Failed: the command was not found.
        """
        try:
            return subprocess.run(command, check=False, capture_output=True, text=True)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from None


class Target(ABC):
    """One way to run deployments. Each method returns when the deployment is ready or stopped."""

    #: The command ``rolehost`` of the new version.
    command: Sequence[str] = (ROLEHOST,)

    def __init__(self, shell: Shell, options: argparse.Namespace) -> None:
        self.shell = shell
        self.options = options

    def look(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``rolehost`` of the new version and return its output."""
        return self.shell.look([*self.command, *arguments])

    def rolehost(self, *arguments: str) -> None:
        """Run a read-only ``rolehost`` command of the new version, and show its errors.

        Raises:
            Failed: the exit status was not 0.
        """
        done = self.look(*arguments)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr, end="")
            raise Failed(f"rolehost {shlex.join(arguments)} ended with status {done.returncode}")

    @abstractmethod
    def migrate(self, phase: str) -> None:
        """Apply the migrations of a phase, ``pre`` or ``post``, with the new version."""

    @abstractmethod
    def roll(self, name: str) -> None:
        """Start a deployment, or replace its processes with the new version."""

    @abstractmethod
    def stop(self, name: str) -> None:
        """Drain and stop a deployment."""

    @abstractmethod
    def back(self, name: str) -> None:
        """Restore the previous version of a deployment after a failed rollout."""


class Processes(Target):
    """Process trees on this machine: ``rolehost run`` in the background, ``rolehost reload``."""

    def migrate(self, phase: str) -> None:
        """Apply them with the first deployment: all deployments share one database."""
        first = next(iter(self._files()))
        self.shell.run([*self.command, "migrate", "up", "--phase", phase, "-d", self._file(first)])

    def roll(self, name: str) -> None:
        """Reload the deployment if its supervisor runs; otherwise start it."""
        if self._running(name) is None:
            self._start(name)
        else:
            self.shell.run([*self.command, "reload", self._file(name)])

    def stop(self, name: str) -> None:
        """Send TERM to the supervisor and wait until it has drained."""
        pid = self._running(name)
        print(f"deploy: $ kill -TERM {pid or '(not running)'}  # {name}", flush=True)
        if pid is None or self.shell.dry:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self.options.timeout
        while self._running(name) is not None:
            if time.monotonic() > deadline:
                raise Failed(f"process {pid} of {name} was still there after the timeout")
            time.sleep(0.1)

    def back(self, name: str) -> None:
        """Reload from the file that ``--undo`` restored, or start the deployment again."""
        self.roll(name)

    def _files(self) -> Mapping[str, Path]:
        """Return the file of each deployment by name."""
        given = Path(self.options.deployments)
        folder, pattern = (given, "*.toml") if given.is_dir() else (given.parent, given.name)
        return {path.stem: path for path in sorted(folder.glob(pattern))}

    def _file(self, name: str) -> str:
        try:
            return str(self._files()[name])
        except KeyError:
            raise Failed(f"no file of {self.options.deployments} is named {name}.toml") from None

    def _start(self, name: str) -> None:
        command = [*self.command, "run", self._file(name)]
        state: Path = self.options.state
        log = state / f"{name}.log"
        print(f"deploy: $ {shlex.join(command)} >>{log} 2>&1 &", flush=True)
        if self.shell.dry:
            return
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = log.stat().st_size if log.exists() else 0
        pid = _spawned(command, log)
        (state / f"{name}.pid").write_text(str(pid))
        deadline = time.monotonic() + self.options.timeout
        while READY not in _since(log, before):
            if self._running(name) is None:
                raise Failed(f"{name} did not start: {_since(log, before)[-500:]}")
            if time.monotonic() > deadline:
                raise Failed(f"{name} was not ready after {self.options.timeout:g} s: {log}")
            time.sleep(0.1)

    def _running(self, name: str) -> int | None:
        """Return the process id of the supervisor that this script started, if it still runs."""
        file = self.options.state / f"{name}.pid"
        try:
            pid = int(file.read_text())
            # Reaps the process if it is our child and has exited.
            os.waitpid(pid, os.WNOHANG)
        except (FileNotFoundError, ValueError):
            return None
        except ChildProcessError:
            pass
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return pid


class Compose(Target):
    """The services of ``docker-compose.fleet.yml``; each has the name of its deployment."""

    compose = ("docker", "compose", "-f", "docker-compose.fleet.yml")
    command = (*compose, "run", "--rm", "--no-deps", "--quiet-pull", "migrate")

    def migrate(self, phase: str) -> None:
        """Run the service ``migrate``."""
        file = f"{self.options.deployments}/api.toml"
        self.shell.run([*self.command, "migrate", "up", "--phase", phase, "-d", file])

    def roll(self, name: str) -> None:
        """Replace the containers of a service and wait for their health checks."""
        wait = ["--wait", "--wait-timeout", f"{self.options.timeout:.0f}"]
        self.shell.run([*self.compose, "up", "--detach", "--no-deps", *wait, name])

    def stop(self, name: str) -> None:
        """Stop a service; its ``stop_grace_period`` is longer than the drain takes."""
        self.shell.run([*self.compose, "stop", name])

    def back(self, name: str) -> None:
        """Do the same as :meth:`roll`, with the image that ``--undo`` restored."""
        self.roll(name)


class Kubernetes(Target):
    """The Deployments of ``deploy/k8s/fleet``, named ``rolehost-NAME``; migrations are a Job."""

    def migrate(self, phase: str) -> None:
        """Run the Job of ``deploy/k8s/migrate`` (pre), or the command in a new pod (post)."""
        apply = ["migrate", "up", "--phase", phase, "--deployment", "/etc/rolehost/api.toml"]
        if phase == "post":
            self.shell.run(["kubectl", "exec", "deployment/rolehost-api", "--", "rolehost", *apply])
            return
        job = "job/rolehost-migrate"
        self.shell.run(["kubectl", "delete", job, "--ignore-not-found"])
        self.shell.run(["kubectl", "apply", "-k", "deploy/k8s/migrate"])
        self.shell.run(["kubectl", "wait", "--for=condition=complete", job, self._timeout])

    def roll(self, name: str) -> None:
        """Apply the shared objects, then one Deployment and its Service; wait for its pods."""
        component = "app.kubernetes.io/component"
        for selector in (f"!{component}", f"{component}={name}"):
            self.shell.run(["kubectl", "apply", "-k", "deploy/k8s/fleet", "-l", selector])
        self._wait(name)

    def stop(self, name: str) -> None:
        """Delete the Deployment and its Service; its pods drain."""
        self.shell.run(["kubectl", "delete", "-k", f"deploy/k8s/{name}", "--wait", self._timeout])

    def back(self, name: str) -> None:
        """Roll a Deployment back to its previous revision."""
        self.shell.run(["kubectl", "rollout", "undo", f"deployment/rolehost-{name}"])
        self._wait(name)

    def _wait(self, name: str) -> None:
        self.shell.run(
            ["kubectl", "rollout", "status", f"deployment/rolehost-{name}", self._timeout]
        )

    @property
    def _timeout(self) -> str:
        return f"--timeout={self.options.timeout:.0f}s"


TARGETS: Mapping[str, type[Target]] = {
    "processes": Processes,
    "compose": Compose,
    "kubernetes": Kubernetes,
}


def _spawned(command: Sequence[str], log: Path) -> int:
    """Start a command that outlives this process; append its output to a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        # Ctrl-C in the terminal stops the rollout, not the processes that it started.
        setpgroup=0,
    )


def _since(log: Path, offset: int) -> str:
    with log.open("rb") as text:
        text.seek(offset)
        return text.read().decode("utf-8", "replace")
