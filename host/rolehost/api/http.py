"""What route plugins import besides Falcon: bodies, operations for documents, header names.

Kept out of :mod:`rolehost.api` itself, so that a host without HTTP imports no Falcon. Raise
Falcon's own errors (``falcon.HTTPNotFound(description=…)``); the host renders them as
``application/problem+json`` (RFC 9457) or in the plugin's :class:`~rolehost.api.ErrorFormat`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import falcon
import msgspec

from rolehost.api.contributions import Authentication
from rolehost.api.json import load_json
from rolehost.api.settings import Secret

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
_F = TypeVar("_F", bound=Callable[..., Any])

#: Attribute of a responder under which :func:`operation` leaves its :class:`Operation`.
OPERATION = "__rolehost_operation__"


class Invalid(falcon.HTTPUnprocessableEntity):
    """A well-formed body or parameter that does not fit; status 422.

    Attributes:
        errors: one mapping for each mistake: ``loc`` (path as a list), ``msg``, ``type``.
    """

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        self.errors = list(errors)
        summary = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors
        )
        super().__init__(title="Invalid request", description=summary, code="validation_error")


def decode(body: bytes, kind: TypeForm[T]) -> T:
    """Decode a JSON body into ``kind``.

    Args:
        body: ``req.context.body`` of a synchronous responder, or what ``await read(req)`` gave.
        kind: anything msgspec decodes to.

    Raises:
        falcon.HTTPBadRequest: the body is not JSON, not UTF-8, or nested deeper than 200 levels
            (400, code ``malformed_json``).
        Invalid: it is JSON of another form (422).
    """
    try:
        found: T = load_json(body, kind)
        return found
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        loc = ["body", *[part for part in path.rstrip("`").lstrip(".").split(".") if part]]
        raise Invalid([{"loc": loc, "msg": message, "type": "value_error"}]) from None
    except ValueError as error:
        raise falcon.HTTPBadRequest(
            title="Malformed JSON", description=str(error), code="malformed_json"
        ) from None


def bearer(token: Secret) -> Authentication:
    """Return the authentication of clients that send ``Authorization: Bearer TOKEN`` (RFC 6750).

    Args:
        token: what they must send; an empty one admits nobody.
    """
    expected = token.reveal().encode()

    def admits(req: Any) -> bool:
        scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
        # Takes the same time wherever they differ; only the length of the token shows.
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
        return same and scheme.lower() == "bearer" and bool(expected)

    return Authentication(admits=admits, refusal="Invalid token")


async def read(req: falcon.asgi.Request) -> bytes:
    """Read the whole body of a request in an asynchronous responder.

    Raises:
        falcon.HTTPContentTooLarge: the body is larger than the route allows (413).
    """
    body: bytes = await req.stream.read()
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the OpenAPI document says of a responder.

    Attributes:
        summary: one line.
        request: type of the body; None when there is none.
        responses: status → type of the JSON body; None for an empty one; a text is the media
            type of a body that is no JSON (``text/plain``).
        query: type whose fields are the query parameters; None when there are none.
        tags: groups in the document; empty takes the plugin's name.
        operation_id: unique name; empty makes one of method and path.
        hidden: True leaves it out.
    """

    summary: str = ""
    request: Any = None
    responses: Mapping[int, Any] = field(default_factory=dict)
    query: Any = None
    tags: tuple[str, ...] = ()
    operation_id: str = ""
    hidden: bool = False


def operation(
    *,
    summary: str = "",
    request: Any = None,
    responses: Mapping[int, Any] | None = None,
    query: Any = None,
    tags: tuple[str, ...] = (),
    operation_id: str = "",
    hidden: bool = False,
) -> Callable[[_F], _F]:
    """Describe a responder for documents; keywords are the fields of :class:`Operation`."""
    described = Operation(
        summary=summary,
        request=request,
        responses=responses or {},
        query=query,
        tags=tags,
        operation_id=operation_id,
        hidden=hidden,
    )

    def mark(responder: _F) -> _F:
        setattr(responder, OPERATION, described)
        return responder

    return mark
