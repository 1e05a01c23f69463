"""Bringing the schema up at the start of a deployment, as ``[deployment] migrate`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolehost.errors import StartError

if TYPE_CHECKING:
    from rolehost.composition.model import Composition
    from rolehost.schema.files import Migration
    from rolehost.storage import Database


def bring_up(composition: Composition, database: Database) -> list[Migration]:
    """Apply pending migrations, or refuse to start with them; return what was applied.

    Of processes that do this at once, one does the work.

    Raises:
        StartError: there are pending ones and the deployment wants them applied beforehand.
        RolehostError: the database cannot be reached, or a migration failed.
    """
    from rolehost.schema import HOST_SET, pending, up

    own = composition.deployment.host.deployment
    policy = own.migrate or ("check" if own.environment == "production" else "run")
    sets = [HOST_SET, *composition.schema_sets]
    with database.session():
        if policy == "run":
            return list(up(database, sets))
        waiting = pending(database, sets)
    if waiting:
        sites = ", ".join(migration.site for migration in waiting)
        raise StartError(
            f"{len(waiting)} migrations are pending ({sites}): run rolehost migrate up first"
        )
    return []
