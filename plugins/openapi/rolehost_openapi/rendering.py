"""The document as bytes, and how documents are revalidated."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document ready to be sent.

    Attributes:
        body: JSON.
        etag: without quotes; the same for the same body, in every process.
    """

    body: bytes
    etag: str


def encode(document: Any) -> bytes:
    """Return the document as compact JSON, in the order it has."""
    return msgspec.json.encode(document)


class Once:
    """Renders a document when it is first asked for; the composition does not change after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rendered: Rendered | None = None

    def get(self, build: Callable[[], Any]) -> Rendered:
        """Return the rendering; ``build`` is called the first time."""
        with self._lock:
            if self._rendered is None:
                body = encode(build())
                self._rendered = Rendered(body, hashlib.sha256(body).hexdigest()[:32])
            return self._rendered
