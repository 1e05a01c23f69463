"""What ``graphql_schema`` returns: types, who may use them, and how errors are told."""

from __future__ import annotations

from rolehost.api import Secret
from rolehost.api.http import Invalid
from rolehost_graphql import Context, Refused, Schema

from rolehost_webhooks.errors import Conflict, Impossible, NotFound, Rejected
from rolehost_webhooks.graphql.mutations import Mutation
from rolehost_webhooks.graphql.queries import Query
from rolehost_webhooks.routes.authentication import admits


def part(token: Secret | None) -> Schema:
    """Return this package's part of the schema.

    Args:
        token: what clients must send as ``Authorization: Bearer``; None lets everybody in.
    """

    def guard(context: Context) -> None:
        if token is not None and not admits(token, context.header("Authorization")):
            raise Refused("Invalid token", "UNAUTHENTICATED")

    return Schema(query=Query, mutation=Mutation, guard=guard, translate=translate)


def translate(error: BaseException) -> Refused | None:
    """Tell what the services raise on purpose, with the same mistakes as the HTTP API."""
    match error:
        case NotFound():
            return Refused(str(error), "NOT_FOUND")
        case Conflict():
            return Refused(str(error), "CONFLICT")
        case Rejected():
            mistake = {"loc": list(error.location), "msg": str(error), "type": error.kind}
            return Refused(str(error), errors=[mistake])
        case Impossible():
            return Refused(str(error))
        case Invalid():
            return Refused(str(error.description), errors=error.errors)
    return None
