"""Health of a process: pings of its backends and the checks of its plugins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from rolehost.api import Check, Services

from rolehost_ops.runs import Overdue, Runs

log = logging.getLogger("rolehost.ops")


class Result(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        name: name of the check, or kind of the backend.
        source: the plugin that declares the check, or name of the backend.
        ok: whether the check passed.
        seconds: duration of the check, at most its timeout.
        detail: text that the check returned, or the error.
        decides: whether a failure affects the status; False if the result is informational.
    """

    name: str
    source: str
    ok: bool
    seconds: float
    detail: str
    decides: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One ping or check to run.

    Attributes:
        name: as :attr:`Result.name`.
        source: as :attr:`Result.source`.
        ask: a blocking function that returns None or a text, and raises if the check fails.
        timeout: seconds after which the check counts as failed.
        decides: as :attr:`Result.decides`.
    """

    name: str
    source: str
    ask: Callable[[], str | None]
    timeout: float
    decides: bool = True


class Health:
    """Runs questions concurrently and remembers failures, so that only changes are logged.

    Args:
        details: report the messages of errors, not only their types.
        ping_timeout: timeout in seconds for the ping of a backend.
    """

    def __init__(self, *, details: bool, ping_timeout: float) -> None:
        self._details = details
        self._ping_timeout = ping_timeout
        self._runs = Runs()
        self._failing: set[tuple[str, str]] = set()

    def liveness(self, services: Services) -> list[Question]:
        """Return the checks with ``live=True``."""
        return [
            _question(services, plugin, check) for plugin, check in services.checks if check.live
        ]

    def readiness(self, services: Services) -> list[Question]:
        """Return a ping for each backend, and all checks except those for liveness only.

        The ping of an optional backend, and a check that declares neither ``ready`` nor
        ``live``, are reported but do not affect the status.
        """
        pings = [
            Question(
                kind,
                name,
                _ping(services, kind),
                self._ping_timeout,
                decides=kind not in services.optional,
            )
            for kind, name in services.backends.items()
        ]
        return pings + [
            _question(services, plugin, check)
            for plugin, check in services.checks
            if check.ready or not check.live
        ]

    async def ask(self, questions: Sequence[Question]) -> list[Result]:
        """Run all questions concurrently; return the results in the order of the questions."""
        return list(await asyncio.gather(*map(self._ask, questions)))

    async def _ask(self, question: Question) -> Result:
        began = time.perf_counter()
        key = (question.source, question.name)
        error: Exception | None = None
        detail = ""
        try:
            told = await self._runs.run(key, question.ask, question.timeout)
            detail = told or ""
        except Overdue as failure:
            error, detail = failure, str(failure)
        except Exception as failure:
            error = failure
            detail = type(failure).__name__ + (f": {failure}" if self._details else "")
        seconds = round(time.perf_counter() - began, 6)
        self._log_change(key, error)
        return Result(
            question.name, question.source, error is None, seconds, detail, question.decides
        )

    def _log_change(self, key: tuple[str, str], error: Exception | None) -> None:
        """Log if a check starts or stops failing, not at each probe."""
        source, name = key
        if error is not None and key not in self._failing:
            self._failing.add(key)
            log.warning("check %s of %s fails: %s: %s", name, source, type(error).__name__, error)
        elif error is None and key in self._failing:
            self._failing.discard(key)
            log.info("check %s of %s passes again", name, source)


def _question(services: Services, plugin: str, check: Check) -> Question:
    ask = _in_session(services, check.fn)
    return Question(check.name, plugin, ask, check.timeout, check.ready or check.live)


def _ping(services: Services, kind: str) -> Callable[[], str | None]:
    def ping() -> None:
        with _session(services):
            getattr(services, kind).ping()

    return ping


def _in_session(
    services: Services, fn: Callable[[Services], str | None]
) -> Callable[[], str | None]:
    def call() -> str | None:
        with _session(services):
            return fn(services)

    return call


def _session(services: Services) -> contextlib.AbstractContextManager[None]:
    """Open a database session, because these threads do not belong to the host's pool."""
    if "database" in services.backends:
        return services.database.session()
    return contextlib.nullcontext()
