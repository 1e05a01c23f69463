"""One :class:`~rolehost.api.Recorder` that tells several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from rolehost.api.metrics import Metric
from rolehost.api.observe import Recorder

log = structlog.get_logger(__name__)


class Recorders:
    """Hands every call to each recorder that was added, in the order of their adding.

    A recorder that raises is logged and keeps its place: what records must not break what is
    recorded. Adding is for the start of a process, before work; calling is thread-safe.
    """

    __slots__ = ("_recorders",)

    def __init__(self) -> None:
        self._recorders: tuple[Recorder, ...] = ()

    def add(self, recorder: Recorder) -> None:
        """Tell this one as well from now on."""
        self._recorders = (*self._recorders, recorder)

    def checkpoint(self) -> Callable[[], None]:
        """Return what takes back the recorders that are added from now on."""
        before = self._recorders

        def undo() -> None:
            self._recorders = before

        return undo

    def __bool__(self) -> bool:
        """Whether anybody listens; without listeners the callers skip their measuring."""
        return bool(self._recorders)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """See :meth:`rolehost.api.Recorder.request`."""
        for recorder in self._recorders:
            self._tell(recorder.request, method, route, status, seconds)

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """See :meth:`rolehost.api.Recorder.job`."""
        for recorder in self._recorders:
            self._tell(recorder.job, actor, outcome, waited, ran)

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """See :meth:`rolehost.api.Recorder.event`."""
        for recorder in self._recorders:
            self._tell(recorder.event, topic, group, outcome, age, ran)

    def relayed(self, count: int, age: float) -> None:
        """See :meth:`rolehost.api.Recorder.relayed`."""
        for recorder in self._recorders:
            self._tell(recorder.relayed, count, age)

    def undeclared(self, kind: str, name: str) -> None:
        """See :meth:`rolehost.api.Recorder.undeclared`."""
        for recorder in self._recorders:
            self._tell(recorder.undeclared, kind, name)

    def cache(self, namespace: str, outcome: str, count: int) -> None:
        """See :meth:`rolehost.api.Recorder.cache`."""
        for recorder in self._recorders:
            try:  # PERF: not by way of _tell(), for this is told for every value that is read
                recorder.cache(namespace, outcome, count)
            except Exception:
                _failed(recorder.cache)

    def degraded(self, plugin: str) -> None:
        """Tell those that want to know: the method came with plugin API 2."""
        for recorder in self._recorders:
            method = getattr(recorder, "degraded", None)
            if method is not None:
                self._tell(method, plugin)

    def measured(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Tell those that record metrics of plugins: the method came with plugin API 2."""
        for recorder in self._recorders:
            method = getattr(recorder, "measured", None)
            if method is not None:
                self._tell(method, metric, value, labels)

    @staticmethod
    def _tell(method: Callable[..., None], *arguments: Any) -> None:
        try:
            method(*arguments)
        except Exception:
            _failed(method)


def _failed(method: Callable[..., None]) -> None:
    log.exception("a recorder failed", recorder=getattr(method, "__qualname__", ""))
