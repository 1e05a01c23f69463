"""Reload (rolling restart): replace all processes by those of the new deployment, or roll back."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

from rolehost.errors import StartError
from rolehost.redaction import hide
from rolehost.supervisor.check import EXIT_FAILED, CheckProcess
from rolehost.supervisor.child import Slot
from rolehost.supervisor.control import Notify
from rolehost.supervisor.descriptors import close_listening_socket, listening_socket
from rolehost.supervisor.plan import DRAIN_ORDER, MIGRATE, ProcessPlan
from rolehost.supervisor.report import StatusReport

#: Exit status of ``rolehost reload`` if the new deployment cannot start, as in ``rolehost run``.
EXIT_CANNOT_START = 4

#: What :meth:`Reload.resume` gets after a step: the answer of a check, or the error of a
#: replacement (empty after success).
Outcome = Any


class Replacement(NamedTuple):
    """Start ``new`` and, when it is ready, stop ``old``; either may be None."""

    old: Slot | None
    new: Slot | None
    #: For a rollback: if the new process fails, restart it later like any process that dies,
    #: and stop the old one at once.
    must_succeed: bool = False


class Reload:
    """One reload. ``plan`` is the running plan: the old one until all processes are replaced."""

    def __init__(
        self, plan: ProcessPlan, slots: Sequence[Slot], notify: Notify, report: StatusReport
    ) -> None:
        self.plan = plan
        self._notify = notify
        self._report = report
        self._slots = slots
        self._started_at = time.monotonic()
        self._steps = self._run()

    def resume(self, outcome: Outcome | None) -> CheckProcess | Replacement | None:
        """Return the next step; None if the reload has ended.

        ``outcome`` is the outcome of the last step; None before the first step.
        """
        try:
            return self._steps.send(outcome)
        except StopIteration as end:
            self._end(end.value)
            return None

    def abandon(self) -> None:
        """End the reload because the supervisor is being stopped."""
        self._steps.close()
        message = "the supervisor was stopped"
        self._notify({"result": self._result("failed", EXIT_FAILED, message=message)})

    def _end(self, result: dict[str, Any]) -> None:
        """Log the result with the name of the running deployment, and send it to the client."""
        self._report.configure(self.plan.name, self.plan.log_level, self.plan.log_format)
        for problem in result.get("problems", ()):
            fields = {name: text for name, text in problem.items() if name != "what"}
            self._report("error", problem["what"], **fields)
        fields = {name: value for name, value in result.items() if value and name != "problems"}
        level = "error" if result["status"] else "info"
        self._report(level, f"reload: {fields.pop('outcome')}", **fields)
        self._notify({"result": result})

    def _run(self) -> Generator[CheckProcess | Replacement, Outcome, dict[str, Any]]:
        """Check the new deployment, switch to it, and return the result (a *coroutine*).

        Each ``yield`` hands a step to the supervisor and waits for its outcome.
        """
        old = self.plan
        try:
            check = CheckProcess(old, self._started_at)
        except OSError as error:
            message = f"no process can be started to check: {error.strerror}"
            return self._result("refused", EXIT_CANNOT_START, message=message)
        answer = yield check
        if answer["status"]:
            os.close(check.sources)
            return self._result("refused", **answer)
        try:
            new = self._new_plan(answer["plan"], check.sources)
        except StartError as error:
            os.close(check.sources)
            return self._result("refused", EXIT_CANNOT_START, message=str(error))
        return (yield from self._switch_to(new, answer))

    def _switch_to(
        self, new: ProcessPlan, answer: dict[str, Any]
    ) -> Generator[CheckProcess | Replacement, Outcome, dict[str, Any]]:
        """Replace the processes, then apply the migrations of the phase *post*."""
        old = self.plan
        steps = replacements(self._slots, new)
        self._notify({"accepted": new.name, "of": len(steps)})
        failure = "the reload was abandoned"
        try:
            failure = yield from self._replace(steps)
        finally:
            # This also runs if abandon() ends this coroutine. The supervisor closes only the plan
            # that runs.
            if failure:
                _close(new, keep=old)
        if failure:
            message = f"{failure}; the old deployment runs again"
            return self._result("rolled back", EXIT_FAILED, message=message)
        self.plan = new
        _close(old, keep=new)
        post = {}
        if answer.get("post_pending"):
            post = yield from self._migrate_post(answer["running"])
        return self._result(
            "reloaded",
            replaced=len(steps),
            roles=[role.role for role in new.roles],
            enabled=[name for name in new.plugins if name not in old.plugins],
            disabled=[name for name in old.plugins if name not in new.plugins],
            migrated=[*answer.get("migrated", ()), *post.get("migrated", ())],
            waiting=post.get("waiting", []),
            message=post.get("message", ""),
        )

    def _new_plan(self, plan: str, sources: int) -> ProcessPlan:
        old = self.plan
        new = ProcessPlan.from_json(plan)
        hide("the new plan", new.hidden)
        return new._replace(
            command=old.command,
            check_command=old.check_command,
            sources=sources,
            arguments=tuple(each for each in old.arguments if each != MIGRATE),
            board=old.board,
            started_at=self._started_at,
            listener=listening_socket(new.bind, old),
        )

    def _replace(self, steps: Sequence[Replacement]) -> Generator[Replacement, str, str]:
        """Replace the processes one by one; if one fails, roll back and return the reason."""
        done: list[Replacement] = []
        for step in steps:
            failure = yield step
            if failure:
                self._notify({"failed": failure})
                yield from self._roll_back(done)
                return failure
            done.append(step)
            process = step.new or step.old
            assert process is not None
            self._notify({"done": len(done), "of": len(steps), "process": process.name})
        return ""

    def _roll_back(self, done: Iterable[Replacement]) -> Generator[Replacement, str, None]:
        for step in reversed([*done]):
            restored = None
            if step.old is not None:
                count = (step.new or step.old).incarnation
                restored = Slot(step.old.role, step.old.number, self.plan, count)
            yield Replacement(old=step.new, new=restored, must_succeed=True)

    def _migrate_post(self, older: list[str]) -> Generator[CheckProcess, Any, dict[str, Any]]:
        try:
            answer: dict[str, Any] = yield CheckProcess(self.plan, time.monotonic(), older)
        except OSError as error:
            answer = {"status": EXIT_FAILED, "message": str(error.strerror)}
        if not answer["status"]:
            return answer
        problems = answer.get("problems", ())
        message = answer.get("message") or "; ".join(each["what"] for each in problems)
        return {"message": f"migrations of the phase post were not applied: {message}"}

    def _result(self, outcome: str, status: int = 0, **fields: Any) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._started_at, 2)
        return {"outcome": outcome, "status": status, "seconds": seconds, **fields}


def replacements(slots: Sequence[Slot], plan: ProcessPlan) -> list[Replacement]:
    """Return the steps that replace the running processes by the processes of a plan.

    Consumers of work come before producers: workers know the actors of a new plugin before
    requests enqueue jobs for them. Processes without a successor end last, in the drain order.
    """
    running = {(slot.role.role, slot.number): slot for slot in slots}
    found = []
    for role in sorted(plan.roles, key=lambda role: -DRAIN_ORDER.index(role.role)):
        for number in range(role.processes):
            old = running.pop((role.role, number), None)
            count = old.incarnation if old else 0
            found.append(Replacement(old, Slot(role, number, plan, count)))
    leaving = sorted(running.values(), key=lambda slot: DRAIN_ORDER.index(slot.role.role))
    return [*found, *(Replacement(slot, None) for slot in leaving)]


def _close(plan: ProcessPlan, *, keep: ProcessPlan) -> None:
    """Close the sources of a plan, and its listening socket unless ``keep`` has the same one."""
    if plan.sources >= 0:
        os.close(plan.sources)
    if plan.listener != keep.listener:
        close_listening_socket(plan)
