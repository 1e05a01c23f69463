"""The section ``[graphql]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings

Count = Annotated[int, Meta(ge=1)]


class GraphqlSettings(Settings, frozen=True):
    """``[graphql]``; every value has a default.

    Attributes:
        path: path of the API.
        graphiql: serve the page GraphiQL to browsers, at the same path and, without
            authentication, at ``PATH/graphiql``. If it is None, the page is served unless
            ``[deployment] environment`` is ``production``.
        introspection: allow introspection of the schema; None means the same as for
            ``graphiql``. ``rolehost graphql schema`` always prints the schema.
        require_header: accept GET only with a header that a cross-origin page cannot send
            without a CORS preflight (``Apollo-Require-Preflight``, ``X-Requested-With`` or a
            ``Content-Type`` of JSON).
        max_depth: maximum number of levels of fields; introspection is not counted.
        max_cost: maximum cost of an operation, checked before it runs. Each field that returns
            an object costs 1, multiplied by ``first``, ``last`` or ``limit`` of the lists around
            it.
        list_size: assumed number of items of a list without such an argument.
        max_aliases: maximum number of aliases in a document.
        max_tokens: maximum number of lexical tokens in a document.
        max_body: maximum size of a body in bytes.
        time_limit: seconds after which an operation fails. No further root field and no further
            batch is resolved then, and resolvers that await are cancelled.
        cached_documents: maximum number of parsed and validated documents to cache.
        log: log a line for each operation, with its name, cost and duration.
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
