"""The document as bytes, with an ETag for revalidation."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Rendered:
    """An encoded document.

    Attributes:
        body: the document as JSON.
        etag: entity tag without quotes; depends on the body only, not on the process.
    """

    body: bytes
    etag: str


def encode(document: Any) -> bytes:
    """Return the document as compact JSON; keys keep their order."""
    return msgspec.json.encode(document)


class Once:
    """Renders a document at the first request and keeps it; the composition does not change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rendered: Rendered | None = None

    def get(self, build: Callable[[], Any]) -> Rendered:
        """Return the rendered document; ``build`` is called only the first time."""
        with self._lock:
            if self._rendered is None:
                body = encode(build())
                self._rendered = Rendered(body, hashlib.sha256(body).hexdigest()[:32])
            return self._rendered
