"""What the services of this package raise; routes answer with it, the handler gives up on it."""

from __future__ import annotations

from rolehost.api import RolehostError


class WebhooksError(RolehostError):
    """Base of what this package raises on purpose."""


class NotFound(WebhooksError):
    """No application, endpoint, event type, message or attempt has this id or uid."""

    def __init__(self, what: str = "Entity") -> None:
        super().__init__(f"{what} not found")


class Conflict(WebhooksError):
    """The uid, event type name or eventId is taken."""


class Rejected(WebhooksError):
    """A value does not fit.

    Attributes:
        location: path to the value, ``("body", "url")``.
    """

    def __init__(self, location: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.location = location
