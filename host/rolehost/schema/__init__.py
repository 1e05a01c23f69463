"""The schema of the service database: migration files and the runner that applies them."""

from rolehost.schema.files import Migration, Phase, SchemaError, Set, load, new
from rolehost.schema.history import Drift, MigrationStatus, Schema, compare, status
from rolehost.schema.runner import down, last, pending, require_known_post, require_pre, up

#: The host's own set of migrations, applied before the sets of all plugins.
HOST_SET = ("rolehost", "rolehost.migrations")

__all__ = [
    "HOST_SET",
    "Drift",
    "Migration",
    "MigrationStatus",
    "Phase",
    "Schema",
    "SchemaError",
    "Set",
    "compare",
    "down",
    "last",
    "load",
    "new",
    "pending",
    "require_known_post",
    "require_pre",
    "status",
    "up",
]
