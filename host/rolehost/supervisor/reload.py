"""Replacing the processes of a deployment by those of a changed one, or not at all."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from rolehost.errors import StartError
from rolehost.redaction import hide
from rolehost.supervisor.check import EXIT_FAILED, CheckProcess
from rolehost.supervisor.child import RUNS, Slot
from rolehost.supervisor.control import Tell
from rolehost.supervisor.descriptors import close_listening_socket, listening_socket
from rolehost.supervisor.plan import DRAIN_ORDER, ProcessPlan

#: Exit status of the command when the new deployment cannot start here, as of ``rolehost run``.
EXIT_CANNOT_START = 4


class Processes(Protocol):
    """What a reload asks of the supervisor."""

    plan: ProcessPlan
    slots: list[Slot]

    def follow(self, check: CheckProcess) -> None:
        """Watch the pipe of a process that checks, and call :meth:`Reload.told`."""

    def unfollow(self, check: CheckProcess) -> None:
        """Close that pipe."""

    def bring(self, slot: Slot) -> None:
        """Start a process that comes; :meth:`Reload.came` or :meth:`Reload.failed` is called."""

    def dismiss(self, slot: Slot) -> None:
        """Let a process go; :meth:`Reload.left` is called when it has ended."""

    def again(self, slot: Slot) -> None:
        """Start one that did not come as one that runs: until it succeeds."""

    def over(self, result: dict[str, Any]) -> None:
        """The reload has ended."""


class Step(NamedTuple):
    """One replacement.

    Attributes:
        old: which process goes; None: none.
        new: which comes before that; None: none.
    """

    old: Slot | None
    new: Slot | None


class Reload:
    """One reload, from its check to its end.

    Args:
        processes: the supervisor.
        tell: passes on how far it is.

    Attributes:
        check: the process that composes, or finishes; None: there is none at the moment.
    """

    def __init__(self, processes: Processes, tell: Tell) -> None:
        self._processes = processes
        self._tell = tell
        self._began = time.monotonic()
        self._old = processes.plan
        self._new = self._old
        self._steps: deque[Step] = deque()
        self._step = Step(None, None)
        self._done: list[Step] = []
        self._planned = 0
        self._failure = ""
        self._answer: dict[str, Any] = {}
        self.check: CheckProcess | None = CheckProcess(self._old, self._began)
        processes.follow(self.check)

    def told(self) -> None:
        """The process that checks has said something."""
        assert self.check is not None
        answer = self.check.read()
        if answer is None:
            return
        check, self.check = self.check, None
        self._processes.unfollow(check)
        if self._answer:
            self._finished(answer)
        elif answer["status"]:
            os.close(check.sources)
            self._over("refused", **answer)
        else:
            self._accepted(answer, check.sources)

    def came(self, slot: Slot) -> None:
        """A process that was brought is ready."""
        slot.part = RUNS
        if self._step.old is not None:
            self._processes.dismiss(self._step.old)
        else:
            self.left(slot)

    def left(self, _slot: Slot) -> None:
        """A process that was dismissed has ended: the step is done."""
        self._done.append(self._step)
        if not self._failure:
            self._tell(
                {
                    "done": len(self._done),
                    "of": self._planned,
                    "process": (self._step.new or self._step.old or _slot).name,
                }
            )
        self._next()

    def failed(self, slot: Slot, why: str) -> None:
        """A process that was brought did not become ready, and has ended."""
        if self._failure:
            # The old deployment is brought back, however long it takes.
            self._processes.again(slot)
            self.came(slot)
            return
        self._failure = f"{slot.name} {why}"
        self._tell({"failed": self._failure})
        self._steps = deque(
            Step(step.new, step.old and self._again(step.old, step.new))
            for step in reversed(self._done)
        )
        self._next()

    def abandon(self) -> None:
        """Everything is being stopped."""
        if self.check is not None:
            self.check.kill()
            self._processes.unfollow(self.check)
        if self._new is not self._processes.plan and self._new.listener != self._old.listener:
            close_listening_socket(self._new)
        self._tell({"result": _result("failed", EXIT_FAILED, words="the supervisor was stopped")})

    def _accepted(self, answer: dict[str, Any], sources: int) -> None:
        old = self._old
        plan = ProcessPlan.from_json(answer["plan"])._replace(
            command=old.command,
            candidate=old.candidate,
            sources=sources,
            board=old.board,
            began=self._began,
        )
        hide("the new plan", plan.hidden)
        try:
            listener = listening_socket(plan.bind, old)
        except StartError as error:
            os.close(sources)
            self._over("refused", status=EXIT_CANNOT_START, words=str(error))
            return
        self._new = plan._replace(listener=listener)
        self._answer = answer
        self._steps = deque(steps(self._processes.slots, self._new))
        self._planned = len(self._steps)
        self._tell({"accepted": self._new.name, "of": self._planned})
        self._next()

    def _next(self) -> None:
        if not self._steps:
            self._settle()
            return
        self._step = self._steps.popleft()
        if self._step.new is not None:
            self._processes.bring(self._step.new)
        elif self._step.old is not None:
            self._processes.dismiss(self._step.old)

    def _again(self, old: Slot, new: Slot | None) -> Slot:
        return Slot(old.role, old.number, self._old, new or old)

    def _settle(self) -> None:
        """Every process is of one deployment: that one is it from now on."""
        left, kept = (self._new, self._old) if self._failure else (self._old, self._new)
        if left.sources >= 0:
            os.close(left.sources)
        if left.listener != kept.listener:
            close_listening_socket(left)
        self._processes.plan = kept
        if self._failure:
            words = f"{self._failure}; the deployment is what it was before"
            self._over("rolled back", status=EXIT_FAILED, words=words)
        elif self._answer.get("later"):
            self.check = CheckProcess(kept, time.monotonic(), self._answer["living"])
            self._processes.follow(self.check)
        else:
            self._reloaded({})

    def _finished(self, answer: dict[str, Any]) -> None:
        """The migrations that waited for the older processes' end are applied, or wait."""
        if answer["status"]:
            problems = answer.get("problems", ())
            words = answer.get("words") or "; ".join(each["what"] for each in problems)
            self._reloaded({"words": f"migrations of the phase post were not applied: {words}"})
        else:
            self._reloaded(answer)

    def _reloaded(self, answer: dict[str, Any]) -> None:
        old, new = self._old, self._new
        self._over(
            "reloaded",
            status=0,
            replaced=len(self._done),
            roles=[role.role for role in new.roles],
            enabled=[name for name in new.plugins if name not in old.plugins],
            disabled=[name for name in old.plugins if name not in new.plugins],
            migrated=[*self._answer.get("migrated", ()), *answer.get("migrated", ())],
            waiting=answer.get("waiting", []),
            words=answer.get("words", ""),
        )

    def _over(self, outcome: str, **fields: Any) -> None:
        seconds = round(time.monotonic() - self._began, 2)
        result = _result(outcome, fields.pop("status"), seconds=seconds, **fields)
        self._processes.over(result)
        self._tell({"result": result})


def steps(slots: Sequence[Slot], plan: ProcessPlan) -> list[Step]:
    """Return what replaces the processes that run by those of a plan.

    Who takes work comes before who gives it: workers know the actors of a plugin before requests
    enqueue for them. What is no longer wanted goes last, in the order of a drain.
    """
    running = {(slot.role.role, slot.number): slot for slot in slots}
    wanted = sorted(plan.roles, key=lambda role: -DRAIN_ORDER.index(role.role))
    found = []
    for role in wanted:
        for number in range(role.processes):
            old = running.pop((role.role, number), None)
            found.append(Step(old, Slot(role, number, plan, old)))
    leaving = sorted(running.values(), key=lambda slot: DRAIN_ORDER.index(slot.role.role))
    return [*found, *(Step(slot, None) for slot in leaving)]


def _result(outcome: str, status: int, **fields: Any) -> dict[str, Any]:
    return {"outcome": outcome, "status": status, **fields}
