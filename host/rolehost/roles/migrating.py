"""Bringing the schema up at the start of a deployment, as ``[deployment] migrate`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from rolehost.delivery.clock import SystemClock
from rolehost.delivery.leases import Presence
from rolehost.errors import StartError

if TYPE_CHECKING:
    from rolehost.composition.model import Composition
    from rolehost.schema.files import Migration
    from rolehost.storage import Database

log = structlog.get_logger(__name__)


def bring_up(composition: Composition, database: Database) -> list[Migration]:
    """Apply pending migrations, or refuse to start with them; return what was applied.

    Those of the phase *post* need that no older code runs any more. They are applied when no
    process is there at all; else they wait for ``rolehost migrate up``, and refuse no start.
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
            applied = up(database, sets, phase="pre" if _somebody_runs(database) else None)
            later = pending(database, sets)
            if later:
                log.warning(
                    "migrations wait until older processes are gone",
                    migrations=[migration.site for migration in later],
                    then="rolehost migrate up --phase post",
                )
            return list(applied)
        waiting = pending(database, sets, phase="pre")
    if waiting:
        sites = ", ".join(migration.site for migration in waiting)
        raise StartError(
            f"{len(waiting)} migrations are pending ({sites}): run rolehost migrate up first"
        )
    return []


def _somebody_runs(database: Database) -> bool:
    """Say whether any process of the fleet lives, whose code may be an older one."""
    if not database.peewee.table_exists("rolehost_processes"):
        return False
    return bool(Presence(database, SystemClock(), 0.0).living())
