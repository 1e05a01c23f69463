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
    """How the host treats the requests of one route, or those that match no route.

    ``template`` is empty and ``spelled`` None without a route. ``spelled`` matches the raw
    paths whose literal segments are spelled as in the template. ``max_body`` is in bytes.
    ``admit`` raises if the request is not admitted; None admits all. ``render`` renders errors;
    None: as RFC 9457 says. ``trailing_slash``: one slash at the end of the path is accepted.
    """

    template: str = ""
    max_body: int
    admit: Callable[[Any], None] | None = None
    render: Callable[[int, str, Any, str], tuple[str, bytes]] | None = None
    trailing_slash: bool = False
    spelled: re.Pattern[bytes] | None = None
