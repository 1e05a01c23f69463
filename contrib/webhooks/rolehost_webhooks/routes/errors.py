"""Errors in the format of Svix's server, so that its clients raise their usual exceptions."""

from __future__ import annotations

from typing import Any

import msgspec
from rolehost.api import ErrorFormat

from rolehost_webhooks.routes.responder import PREFIX

#: Svix's default error codes, by HTTP status.
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

#: Svix's specific error codes, which replace the default code of the status.
SPECIFIC_CODES = frozenset(
    {"event_type_exists", "invalid_scheme", "limit_reached", "missing_payload"}
)


def render(status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
    """Return media type and body: ``{code, detail}``, or a list of errors for a 422."""
    shown: dict[str, Any]
    if status == 422:
        errors = detail
        if not isinstance(detail, list):
            errors = [{"loc": ["request"], "msg": detail or title, "type": code}]
        shown = {"detail": errors}
    else:
        name = code if code in SPECIFIC_CODES else CODES.get(status, code)
        shown = {"code": name, "detail": detail or title}
    return "application/json", msgspec.json.encode(shown)


ERRORS = ErrorFormat(prefix=PREFIX, render=render)
