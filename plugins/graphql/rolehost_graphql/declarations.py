"""The values that other plugins return from the hook ``graphql_schema``."""

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
        query: strawberry type with fields for ``Query``, or None.
        mutation: strawberry type with fields for ``Mutation``, or None.
        types: strawberry types that no field references, for example implementations of an
            interface.
        authentication: which clients may use this part. The route of the API admits a client if
            the authentication of at least one part does. A client needs this authentication for
            the root fields of this part. None: every client that the route admits may use this
            part. If all parts have None, ``[http] token`` and ``[http] authentication`` decide.
        guard: called once per request before the first of these root fields is resolved. It
            raises :class:`Refused` to refuse access to all of them. None allows access.
        translate: converts an exception of a resolver to the error for the client; returns None
            if the exception does not belong to this plugin.
    """

    query: type | None = None
    mutation: type | None = None
    types: tuple[type, ...] = ()
    authentication: Authentication | None = None
    guard: Callable[[Context], None] | None = None
    translate: Callable[[BaseException], Refused | None] | None = None
