"""Helpers of all responders of this package: errors, bodies, queries, answers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import falcon
import msgspec
from rolehost.api.http import Invalid, decode, operation

from rolehost_webhooks.errors import Conflict, Impossible, NotFound, Rejected
from rolehost_webhooks.repositories.paging import Cursor, Page
from rolehost_webhooks.schemas.common import ListOut, PageQuery, or_absent

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

PREFIX = "/api/v1"

#: msgspec's error messages if a value has the right type but violates a constraint.
OUT_OF_RANGE = re.compile(r"Expected `\w+` (<|>|of length|matching)")

_encoder = msgspec.json.Encoder()


def responder(tag: str, **documentation: Any) -> Callable[[F], F]:
    """Describe a responder for OpenAPI, and convert this package's errors to HTTP errors.

    Args:
        tag: OpenAPI tag.
        documentation: further fields of :class:`rolehost.api.http.Operation`.
    """

    def wrap(fn: F) -> F:
        @functools.wraps(fn)
        def respond(resource: Any, req: Any, resp: Any, **path: str) -> None:
            try:
                fn(resource, req, resp, **path)
            except NotFound as error:
                raise falcon.HTTPNotFound(description=str(error), code="not_found") from None
            except Conflict as error:
                raise falcon.HTTPConflict(description=str(error), code=error.code) from None
            except Impossible as error:
                raise falcon.HTTPBadRequest(description=str(error), code=error.code) from None
            except Rejected as error:
                raise invalid(error.location, str(error), error.kind) from None

        return operation(tags=(tag,), **documentation)(respond)  # type: ignore[return-value]

    return wrap


def invalid(location: tuple[str, ...], message: str, kind: str = "value_error") -> Invalid:
    """Return the 422 error for one invalid value."""
    return Invalid([{"loc": list(location), "msg": message, "type": kind}])


def body(req: Any, kind: type[T]) -> T:
    """Decode the body. Malformed JSON is a 422, as in Svix's server.

    Raises:
        Invalid: the body is invalid.
    """
    try:
        return decode(req.context.body, kind)
    except falcon.HTTPBadRequest as error:
        location = _invalid_utf8_path(req.context.body)
        raise invalid(location, str(error.description), "value_error.jsondecode") from None


def _invalid_utf8_path(body: bytes) -> tuple[str, ...]:
    """Return the path of the field that is not UTF-8; by default the path of the body."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return ("body",)
    for name, value in fields.items():
        try:
            bytes(value).decode()
        except UnicodeDecodeError:
            return ("body", name)
    return ("body",)


def query(req: Any, kind: type[T]) -> T:
    """Convert the query parameters, as Svix's open-source server does.

    ``event_types`` may be repeated, have brackets after its name, or contain several values
    separated by commas.

    Raises:
        Invalid: a value has the right type but is out of range.
        falcon.HTTPBadRequest: a value has the wrong type.
    """
    given: dict[str, Any] = {}
    names: list[str] = []
    for name, value in req.params.items():
        if name == "event_types" or (name.startswith("event_types[") and name.endswith("]")):
            parts = value if isinstance(value, list) else [value]
            names += [each for part in parts for each in part.split(",") if each]
        else:
            given[name] = value
    if names:
        given["event_types"] = names
    try:
        return msgspec.convert(given, type=kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        parameter = path.rstrip("`") or "query"
        if OUT_OF_RANGE.match(message) is None:
            raise falcon.HTTPBadRequest(
                description=f"query parameter {parameter}: {message}", code="generic_error"
            ) from None
        raise invalid(("query", parameter), message) from None


def answer(resp: Any, value: Any, status: int = 200) -> None:
    """Answer with a JSON body."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = _encoder.encode(value)


def no_content(resp: Any) -> None:
    """Answer with 204 and no body."""
    resp.status = 204


def cursor(wanted: PageQuery, *, descending: bool = False) -> Cursor:
    """Return the cursor of the requested page; ``descending`` is the default order."""
    if wanted.order is not None:
        descending = wanted.order == "descending"
    return Cursor(limit=wanted.limit, iterator=wanted.iterator, descending=descending, exact=True)


def answer_page(resp: Any, page: Page[Any], convert: Callable[[Any], T]) -> None:
    """Answer with the envelope of a listing."""
    answer(
        resp,
        ListOut(
            data=[convert(row) for row in page.data],
            iterator=page.iterator,
            prev_iterator=or_absent(page.prev_iterator),
            done=page.done,
        ),
    )
