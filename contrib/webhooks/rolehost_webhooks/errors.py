"""What the services of this package raise; routes answer with it, the handler gives up on it."""

from __future__ import annotations

from rolehost.api import RolehostError


class WebhooksError(RolehostError):
    """Base of the errors of this package."""


class NotFound(WebhooksError):
    """No application, endpoint, event type, message or attempt has this id or uid."""

    def __init__(self, what: str = "Entity") -> None:
        super().__init__(f"{what} not found")


class Conflict(WebhooksError):
    """The uid, event type name or eventId is taken.

    Attributes:
        code: tells clients the kind of conflict.
    """

    def __init__(self, message: str, code: str = "conflict") -> None:
        super().__init__(message)
        self.code = code


class Impossible(WebhooksError):
    """The values are valid, but the state of the entity forbids the operation.

    Attributes:
        code: tells clients the reason.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(WebhooksError):
    """A value does not fit.

    Attributes:
        location: path to the value, ``("body", "url")``.
        kind: tells clients the kind of error.
    """

    def __init__(self, location: tuple[str, ...], message: str, kind: str = "value_error") -> None:
        super().__init__(message)
        self.location = location
        self.kind = kind
