"""The section ``[graphql]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings

Count = Annotated[int, Meta(ge=1)]


class GraphqlSettings(Settings, frozen=True):
    """``[graphql]``; every value has a default.

    Attributes:
        path: where the API is served.
        graphiql: serve the page GraphiQL to browsers, at the same path and, without
            authentication, at ``PATH/graphiql``; None: where ``[deployment] environment`` is
            not ``production``.
        introspection: answer questions about the schema; None as for ``graphiql``. ``rolehost
            graphql schema`` prints the schema whatever is set.
        require_header: let GET through only with a header that a page of somebody else cannot
            send without asking first (``Apollo-Require-Preflight``, ``X-Requested-With`` or a
            ``Content-Type`` of JSON).
        max_depth: most levels of fields; introspection is not counted.
        max_cost: most objects that an operation may ask for, before it runs: each field that
            gives an object costs 1, times ``first``, ``last`` or ``limit`` of the lists around
            it.
        list_size: how many items a list without such an argument is taken for.
        max_aliases: most aliases of one document.
        max_tokens: most lexical tokens of one document.
        max_body: largest body, bytes.
        time_limit: seconds after which no further field at the root and no further batch is
            resolved.
        cached_documents: parsed and validated documents that are kept.
        log: write a line for each operation, with its name, cost and duration.
    """

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+$")] = "/graphql"
    graphiql: bool | None = None
    introspection: bool | None = None
    require_header: bool = True
    max_depth: Count = 12
    max_cost: Count = 5000
    list_size: Count = 10
    max_aliases: Annotated[int, Meta(ge=0)] = 30
    max_tokens: Count = 2000
    max_body: Count = 262_144
    time_limit: Annotated[float, Meta(gt=0)] = 10.0
    cached_documents: Count = 128
    log: bool = True
