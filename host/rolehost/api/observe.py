"""What the host tells about its work; a plugin that records it adds a :class:`Recorder`."""

from __future__ import annotations

from typing import Protocol


class Recorder(Protocol):
    """Receives one call per finished piece of work. Must be cheap, thread-safe and not raise."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the template, empty when none matched."""

    def job(self, actor: str, outcome: str, waited: float, ran: float) -> None:
        """An attempt at a job ended.

        ``outcome`` is ``completed``, ``retrying``, ``snoozed``, ``dead``, ``cancelled``,
        ``interrupted`` or ``lost`` (its lease was taken); ``waited`` is the seconds from when
        it could run to its start, ``ran`` those of the attempt.
        """

    def event(self, topic: str, group: str, outcome: str, age: float, ran: float) -> None:
        """A handler ended: ``handled``, ``duplicate``, ``retried`` or ``dead``; seconds."""

    def relayed(self, count: int, age: float) -> None:
        """Events left the outbox; ``age`` is that of the oldest of them, seconds."""

    def undeclared(self, kind: str, name: str) -> None:
        """A plugin enqueued (``actor``) or published (``topic``) what it had not declared."""
