"""Run an engine in a container, if the machine does not have its programs."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from rolehost_testing.services.guarded import environment
from rolehost_testing.services.server import PATIENCE, Server, StartFailed

_FILE = Path(__file__).with_name("compose.yaml")

#: Timeout in seconds for checking that the container engine is available.
_ASKED = 10.0

_URLS = {
    "postgres": "postgresql://rolehost@127.0.0.1:{port}/rolehost",
    "redis": "redis://127.0.0.1:{port}/0",
    "memcached": "memcached://127.0.0.1:{port}",
    "kafka": "kafka://127.0.0.1:{port}",
}


@cache
def engine() -> Path | None:
    """Return the program of an available container engine with compose, or None."""
    for name in ("docker", "podman"):
        found = shutil.which(name)
        if found and _succeeds(found, "info") and _succeeds(found, "compose", "version"):
            return Path(found)
    return None


def _succeeds(*command: str) -> bool:
    try:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_ASKED
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Contained(Server):
    """An engine without options, in a container; stop, freeze and thaw act on the container."""

    def __init__(self, name: str, program: Path) -> None:
        self.name = name
        super().__init__()
        self._up = False
        project = f"rolehost-{name}-{self.port}"
        self._compose = [str(program), "compose", "-p", project, "-f", str(_FILE)]
        # The container is not a child process, so the guardian must remove it.
        self._guarded.at_end(["env", f"PORT={self.port}", *self._compose, *_DOWN])

    @property
    def url(self) -> str:
        """The URL with the published port."""
        return _URLS[self.name].format(port=self.port)

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._up

    @property
    def pid(self) -> int:
        """Id of the container's main process, from the container engine."""
        container = self._ask("ps", "-q", self.name).strip()
        asked = [self._compose[0], "inspect", "-f", "{{.State.Pid}}", container]
        return int(subprocess.run(asked, check=True, capture_output=True).stdout)

    @property
    def log(self) -> str:
        """The whole output so far."""
        return self._ask("logs", "--no-color", self.name)

    def _ask(self, *arguments: str) -> str:
        """Run compose and return its output.

        Raises:
            StartFailed: compose failed.
        """
        done = subprocess.run(
            [*self._compose, *arguments],
            env={**environment(self.folder), "PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StartFailed(f"compose {' '.join(arguments)} failed:\n{done.stdout[-2000:]}")
        return done.stdout

    def run(self) -> None:
        """Start the container and wait until its health check succeeds."""
        self._ask("up", "--detach", "--wait", "--wait-timeout", str(int(PATIENCE)), self.name)
        self._up = True

    def stop(self, immediate: bool = False) -> None:
        """Stop the container and wait for its end."""
        if not self._up:
            return
        if immediate:
            number = "SIGQUIT" if self.name == "postgres" else "SIGKILL"
            self._ask("kill", "-s", number, self.name)
        self._ask("stop", self.name)
        self._up = False

    def freeze(self) -> None:
        """Pause the container."""
        self._ask("pause", self.name)

    def thaw(self) -> None:
        """Resume the container."""
        self._ask("unpause", self.name)

    def _command(self) -> list[str | Path]:
        raise NotImplementedError("a container has no process of ours")

    def _answers(self) -> bool:
        return self._up


_DOWN = ("down", "--volumes", "--timeout", "0")
