"""Errors as Svix's server renders them, so that its clients raise their own exceptions."""

from __future__ import annotations

from typing import Any

import msgspec
from rolehost.api import ErrorFormat

from rolehost_webhooks.routes.responder import PREFIX

#: Svix's names of the errors that have no closer one.
CODES = {
    400: "generic_error",
    401: "authentication_failed",
    403: "insufficient access",
    404: "not_found",
    409: "conflict",
    413: "payload_too_large",
    500: "server_error",
    501: "not_implemented",
}

#: Svix's closer names, by which its clients tell errors of one status apart.
CLOSER = frozenset({"event_type_exists", "invalid_scheme", "limit_reached", "missing_payload"})


def render(status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
    """Return media type and body: ``{code, detail}``, or a list of mistakes for a 422."""
    shown: dict[str, Any]
    if status == 422:
        mistakes = detail
        if not isinstance(detail, list):
            mistakes = [{"loc": ["request"], "msg": detail or title, "type": code}]
        shown = {"detail": mistakes}
    else:
        name = code if code in CLOSER else CODES.get(status, code)
        shown = {"code": name, "detail": detail or title}
    return "application/json", msgspec.json.encode(shown)


ERRORS = ErrorFormat(prefix=PREFIX, render=render)
