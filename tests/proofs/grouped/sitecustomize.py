"""Makes every actor and handler of a process grouped that may be; see ``scripts/prove --grouped``.

Python imports this module at its start if this folder is in ``PYTHONPATH``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rolehost.api import Actor, Handler

#: Actors that call other services, which members of a group must not do.
CALLING = {"webhooks.deliver"}


def group(kind: type[Any], may: Callable[[Any], bool]) -> None:
    """Make the new objects of this kind grouped."""
    check = kind.__post_init__  # type: ignore[attr-defined]

    def checked(self: Any) -> None:
        check(self)
        if may(self):
            object.__setattr__(self, "grouped", True)

    kind.__post_init__ = checked  # type: ignore[attr-defined]


group(Actor, lambda actor: actor.durable and actor.name not in CALLING)
group(Handler, lambda handler: handler.batch == 1)
