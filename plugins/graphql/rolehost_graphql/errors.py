"""Errors for clients."""

from __future__ import annotations

from typing import Any

#: Error codes. If Apollo Server has a code for an error, it is used, because clients know it.
PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
NO_OPERATION = "OPERATION_RESOLUTION_FAILURE"
BAD_USER_INPUT = "BAD_USER_INPUT"
BAD_REQUEST = "BAD_REQUEST"
INTERNAL = "INTERNAL_SERVER_ERROR"
UNAUTHENTICATED = "UNAUTHENTICATED"
UNAVAILABLE = "UNAVAILABLE"
TIME_LIMIT = "TIME_LIMIT"
TOO_DEEP = "QUERY_TOO_DEEP"
TOO_COSTLY = "QUERY_TOO_COSTLY"
TOO_MANY_ALIASES = "TOO_MANY_ALIASES"


class Refused(Exception):
    """An error that a resolver or a guard raises for the client; other errors are masked.

    Attributes:
        code: ``extensions.code`` of the error; upper snake case, stable.
        extensions: further fields of ``extensions``, as JSON.
    """

    def __init__(self, message: str, code: str = BAD_USER_INPUT, **extensions: Any) -> None:
        super().__init__(message)
        self.code = code
        self.extensions = extensions
