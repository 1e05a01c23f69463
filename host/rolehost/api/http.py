"""For plugins with routes: bodies, authentication, and the description of responders.

This is a separate module, so that a host without HTTP does not import Falcon. To answer with an
error, raise an error of Falcon (``falcon.HTTPNotFound(description=…)``). The host renders it as
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

#: Attribute of a responder in which an :class:`Operation` stores itself.
OPERATION = "__rolehost_operation__"


class Invalid(falcon.HTTPUnprocessableEntity):
    """Error 422: a body or a parameter is well-formed but invalid.

    Attributes:
        errors: one mapping for each error: ``loc`` (path as a list), ``msg`` and ``type``.
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
        body: ``req.context.body`` in a synchronous responder, the result of ``await read(req)`` in
            an asynchronous one.
        kind: any type that msgspec can decode.

    Raises:
        falcon.HTTPBadRequest: the body is not JSON, not UTF-8, or nested deeper than 200 levels
            (400, code ``malformed_json``).
        Invalid: the body is JSON but not valid for ``kind`` (422).
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
        token: the token. An empty token admits no client.
    """
    expected = token.reveal().encode()

    def admits(req: Any) -> bool:
        scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
        # Constant-time comparison: it reveals only the length of the token.
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
        return same and scheme.lower() == "bearer" and bool(expected)

    return Authentication(admits=admits, refusal="Invalid token")


async def read(req: falcon.asgi.Request) -> bytes:
    """Return the whole body of a request, in an asynchronous responder.

    Raises:
        falcon.HTTPContentTooLarge: the body is larger than the route allows (413).
    """
    body: bytes = await req.stream.read()
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Describes the decorated responder in the OpenAPI document; also named ``operation``.

    Attributes:
        summary: one line.
        request: type of the body; None: no body.
        responses: status → type of the JSON body; None: an empty body. A text is the media type of
            a body that is not JSON, for example ``text/plain``.
        query: type with the query parameters as fields; None: no parameters.
        tags: groups in the document; empty: the name of the plugin.
        operation_id: unique name; empty: a name from method and path.
        hidden: True: the responder is not in the document.
    """

    summary: str = ""
    request: Any = None
    responses: Mapping[int, Any] = field(default_factory=dict)
    query: Any = None
    tags: tuple[str, ...] = ()
    operation_id: str = ""
    hidden: bool = False

    def __call__(self, responder: _F) -> _F:
        """Add this description to the decorated responder, which does not change otherwise."""
        setattr(responder, OPERATION, self)
        return responder


#: The name of the decorator: ``@operation(summary="Store a note", request=Note)``.
operation = Operation
