"""A GraphQL API collected from the enabled plugins.

What a plugin that implements ``graphql_schema`` imports is here; nothing of it imports strawberry.
"""

from rolehost_graphql.context import Context
from rolehost_graphql.declarations import Schema
from rolehost_graphql.errors import Refused

__all__ = ["Context", "Refused", "Schema"]
