"""Stand-ins for the services of a process, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rolehost.errors import IdempotencyConflict, IdempotencyInProgress


@dataclass
class Stored:
    status: int
    headers: bytes
    body: bytes


class Scope:
    def __init__(self, services: FakeServices, key: str, fingerprint: bytes) -> None:
        self._services = services
        self._key = key
        self._fingerprint = fingerprint
        self.stored: Stored | None = None

    def __enter__(self) -> Scope:
        if self._key in self._services.running:
            raise IdempotencyInProgress(self._key)
        fingerprint, self.stored = self._services.responses.get(self._key, (b"", None))
        if self.stored is not None and fingerprint != self._fingerprint:
            raise IdempotencyConflict(self._key)
        return self

    def store(self, status: int, headers: bytes, body: bytes) -> None:
        self._services.responses[self._key] = (self._fingerprint, Stored(status, headers, body))

    def __exit__(self, *_: Any) -> None:
        return None


@dataclass
class FakeServices:
    draining: bool = False
    responses: dict[str, Any] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    sessions: list[str] = field(default_factory=list)

    @property
    def database(self) -> FakeServices:
        return self

    @contextmanager
    def session(self) -> Iterator[None]:
        self.sessions.append("entered")
        yield
        self.sessions.append("left")

    def request_scope(self, key: str, fingerprint: bytes) -> Scope:
        return Scope(self, key, fingerprint)
