"""Errors of this package's rules. Routes turn them into answers."""

from __future__ import annotations

from rolehost.api import RolehostError


class WebhooksError(RolehostError):
    """Base of the errors of this package."""


class NotFound(WebhooksError):
    """The id or uid does not exist."""

    def __init__(self, what: str = "Entity") -> None:
        super().__init__(f"{what} not found")


class Conflict(WebhooksError):
    """The uid, event type name or eventId is taken.

    Attributes:
        code: error code for clients.
    """

    def __init__(self, message: str, code: str = "conflict") -> None:
        super().__init__(message)
        self.code = code


class Impossible(WebhooksError):
    """The values are valid, but the state of the entity forbids the operation.

    Attributes:
        code: error code for clients.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(WebhooksError):
    """A value is invalid.

    Attributes:
        location: path to the value, for example ``("body", "url")``.
        kind: error type for clients.
    """

    def __init__(self, location: tuple[str, ...], message: str, kind: str = "value_error") -> None:
        super().__init__(message)
        self.location = location
        self.kind = kind
