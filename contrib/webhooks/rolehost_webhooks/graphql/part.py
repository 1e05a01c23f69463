"""The value for the hook ``graphql_schema``: types, access, and the format of errors."""

from __future__ import annotations

from rolehost.api.http import Invalid
from rolehost_graphql import Refused, Schema

from rolehost_webhooks.errors import Conflict, Impossible, NotFound, Rejected
from rolehost_webhooks.graphql.mutations import Mutation
from rolehost_webhooks.graphql.queries import Query
from rolehost_webhooks.routes.authentication import authentication
from rolehost_webhooks.settings import ApiSettings


def part(settings: ApiSettings) -> Schema:
    """Return this package's part of the schema; it admits the same clients as the HTTP API."""
    return Schema(
        query=Query,
        mutation=Mutation,
        authentication=authentication(settings),
        translate=translate,
    )


def translate(error: BaseException) -> Refused | None:
    """Return a domain error with the fields of the HTTP API; None for any other error."""
    match error:
        case NotFound():
            return Refused(str(error), "NOT_FOUND")
        case Conflict():
            return Refused(str(error), "CONFLICT")
        case Rejected():
            problem = {"loc": list(error.location), "msg": str(error), "type": error.kind}
            return Refused(str(error), errors=[problem])
        case Impossible():
            return Refused(str(error))
        case Invalid():
            return Refused(str(error.description), errors=error.errors)
    return None
