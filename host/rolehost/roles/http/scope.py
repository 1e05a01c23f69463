"""The ASGI scope of a request, and the data that the router stores in it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Keys of the scope: the result of Falcon's router, and the :class:`Rules` of the request.
FOUND, RULES = "rolehost.found", "rolehost.rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The host's rules for the requests of one route, or for requests that match no route.

    Without a route, ``template`` is empty and ``raw_pattern`` None. ``raw_pattern`` matches raw
    paths with exactly the literal segments of the template. ``max_body`` is in bytes. ``admit``
    raises if the request is not admitted; None admits all. ``render`` renders errors; None:
    problem details (RFC 9457). ``trailing_slash``: the path may end with one slash.
    """

    template: str = ""
    max_body: int
    admit: Callable[[Any], None] | None = None
    render: Callable[[int, str, Any, str], tuple[str, bytes]] | None = None
    trailing_slash: bool = False
    raw_pattern: re.Pattern[bytes] | None = None
