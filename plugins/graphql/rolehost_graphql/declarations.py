"""What other plugins give to the extension point ``graphql_schema``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rolehost.api import Authentication

from rolehost_graphql.context import Context
from rolehost_graphql.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A plugin's part of the schema.

    Attributes:
        query: strawberry type whose fields become fields of ``Query``; None adds none.
        mutation: likewise for ``Mutation``.
        types: strawberry types that no field leads to, such as implementations of an interface.
        authentication: who may use this part. The route of the API admits those whom the
            authentication of at least one part admits, and the root fields of this part are
            closed to those whom its own does not. None: if no other part has one either,
            ``[http] token`` and ``[http] authentication`` decide; else everybody who is admitted
            to the route.
        guard: called once in a request, before the first of these root fields is resolved; it
            raises :class:`Refused` to keep them all closed. None leaves them open.
        translate: given what a resolver raised, returns what the client is told, or None when
            the error is none of its plugin's.
    """

    query: type | None = None
    mutation: type | None = None
    types: tuple[type, ...] = ()
    authentication: Authentication | None = None
    guard: Callable[[Context], None] | None = None
    translate: Callable[[BaseException], Refused | None] | None = None
