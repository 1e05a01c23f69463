"""A GraphQL API that combines the schemas of the enabled plugins.

This module exports the names for plugins that implement ``graphql_schema``. It does not import
strawberry.
"""

from rolehost_graphql.context import Context
from rolehost_graphql.declarations import Schema
from rolehost_graphql.errors import Refused

__all__ = ["Context", "Refused", "Schema"]
