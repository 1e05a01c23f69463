"""What a server says of itself when it is asked."""

from __future__ import annotations

from typing import NamedTuple


class About(NamedTuple):
    """What :meth:`about` of a backend answers; for ``rolehost doctor`` alone.

    Attributes:
        version: product and version, ``Redis 8.0.3``.
        now: the server's clock, milliseconds since the epoch; None: it does not tell.
    """

    version: str
    now: int | None = None
