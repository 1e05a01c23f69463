"""The process that checks a new deployment, seen from the supervisor."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from rolehost.roles.status import SOURCES_VARIABLE, STATUS_VARIABLE
from rolehost.supervisor.child import signal_group, spawn
from rolehost.supervisor.descriptors import anonymous_file
from rolehost.supervisor.plan import MIGRATE, ProcessPlan, module_command

#: What the process says when nothing is left to be done but migrations, which take their time.
COMPOSED = b"composed\n"

#: Exit status of the command that asks for a reload, when the check itself did not work.
EXIT_FAILED = 1


class CheckProcess:
    """A process that composes the deployment of a plan anew, and says how that went.

    Args:
        plan: says where the deployment is.
        now: monotonic seconds.
        before: None: look at what is on disk, and apply the migrations of the phase *pre*.
            Else ids of the processes that lived before the reload: apply those of the phase
            *post* for the texts in ``plan.sources``, when none of them lives any more.

    Attributes:
        pid: its process id.
        output: our end of the pipe on which it answers.
        sources: file descriptor of the texts that it has read.
        due: when it must have composed, monotonic seconds; None: it has.
    """

    def __init__(self, plan: ProcessPlan, now: float, before: list[str] | None = None) -> None:
        command = [*(plan.candidate or module_command("rolehost.supervisor.check_program"))]
        command += [each for each in plan.arguments if each != MIGRATE]
        if plan.only:
            command += ["--only", ",".join(plan.only)]
        if before is not None:
            command += ["--after", json.dumps(before)]
        self.sources = anonymous_file() if before is None else plan.sources
        self.output, writing = os.pipe()
        os.set_blocking(self.output, False)
        self._answer = b""
        self.due: float | None = now + plan.start_timeout
        try:
            handed = {STATUS_VARIABLE: writing, SOURCES_VARIABLE: self.sources}
            self.pid = spawn(command, handed, {})
        finally:
            os.close(writing)

    def read(self) -> dict[str, Any] | None:
        """Return what it answered; None while more is to come.

        Returns:
            ``status``: the exit status for the command that asked; with it ``problems`` or
            ``words`` when that is not 0, else what :mod:`rolehost.supervisor.check_program` says.
        """
        try:
            data = os.read(self.output, 65_536)
        except BlockingIOError:
            return None
        if data:
            self._answer += data
            if self._answer.startswith(COMPOSED):
                self.due = None
            return None
        try:
            answer: dict[str, Any] = json.loads(self._answer.removeprefix(COMPOSED))
        except ValueError:
            words = "the process that checks the new deployment ended without an answer"
            return {"status": EXIT_FAILED, "words": words}
        return answer

    def act(self, now: float) -> None:
        """Kill it when it has taken too long to compose."""
        if self.due is not None and self.due <= now:
            self.due = None
            self.kill()

    def kill(self) -> None:
        """End it at once; its answer is then that it has none."""
        signal_group(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close our end of the pipe."""
        os.close(self.output)
