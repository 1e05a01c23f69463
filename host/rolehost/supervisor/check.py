"""Starts the process that checks a new deployment, and reads its answer."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from rolehost.roles.status import SOURCES_VARIABLE, STATUS_VARIABLE
from rolehost.supervisor.child import signal_group, spawn
from rolehost.supervisor.descriptors import anonymous_file
from rolehost.supervisor.plan import MIGRATE, ProcessPlan, module_command

#: The process writes this line after composing; the migrations that follow have no time limit.
COMPOSED = b"composed\n"

#: Exit status of ``rolehost reload`` if the reload failed, or if its check could not run.
EXIT_FAILED = 1


class CheckProcess:
    """A process that runs :mod:`rolehost.supervisor.check_program`; OSError: it cannot start.

    Without ``older`` it checks the deployment on disk and applies the migrations of the phase
    *pre*. ``older`` are the ids of the processes that ran before the reload: if all have ended, it
    applies the phase *post* of the deployment in ``plan.sources``. ``due`` is its deadline to
    compose (monotonic seconds); None: it has composed.
    """

    def __init__(self, plan: ProcessPlan, now: float, older: list[str] | None = None) -> None:
        command = [*(plan.check_command or module_command("rolehost.supervisor.check_program"))]
        command += [each for each in plan.arguments if each != MIGRATE]
        if plan.only:
            command += ["--only", ",".join(plan.only)]
        if older is not None:
            command += ["--after", json.dumps(older)]
        self.sources = anonymous_file() if older is None else plan.sources
        self.output, writing = os.pipe()
        os.set_blocking(self.output, False)
        self._answer = b""
        self.due: float | None = now + plan.start_timeout
        try:
            descriptors = {STATUS_VARIABLE: writing, SOURCES_VARIABLE: self.sources}
            self._pid = spawn(command, descriptors)
        finally:
            os.close(writing)

    def read(self) -> dict[str, Any] | None:
        """Return the answer of the process, or None if the answer is not complete.

        ``status`` is the exit status of ``rolehost reload``; if it is not 0, ``problems`` or
        ``message`` has the reason.
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
            message = "the process that checks the new deployment ended without an answer"
            return {"status": EXIT_FAILED, "message": message}
        return answer

    def kill(self) -> None:
        """Kill the process; :meth:`read` then returns that it ended without an answer."""
        self.due = None
        signal_group(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.output)
