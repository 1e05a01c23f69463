"""Migrations at the start of a deployment, according to ``[deployment] migrate``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal

import structlog

from rolehost.delivery.clock import DatabaseClock
from rolehost.delivery.leases import Presence

if TYPE_CHECKING:
    from rolehost.composition.model import Composition
    from rolehost.schema.files import Migration
    from rolehost.storage import Database

log = structlog.get_logger(__name__)


def migrate_at_start(composition: Composition, database: Database) -> list[Migration]:
    """Apply pending migrations and return them; the policy ``check`` applies none.

    Raises StartError with the policy ``check`` if migrations of the phase *pre* are pending, and
    with any policy if a newer version has applied a migration of the phase *post*.

    Migrations of the phase *post* require that no older code runs. They are applied only if no
    process of the fleet runs; otherwise they stay pending for ``rolehost migrate up``. If several
    processes call this at once, one of them does the work.
    """
    from rolehost.schema import HOST_SET, pending, require_known_post, require_pre, up

    sets = [HOST_SET, *composition.schema_sets]
    with database.session():
        require_known_post(database, sets)
        if migrate_policy(composition) == "run":
            applied = up(database, sets, phase="pre" if running_processes(database) else None)
            later = pending(database, sets)
            if later:
                log.warning(
                    "migrations wait until older processes are gone",
                    migrations=[migration.location for migration in later],
                    then=f"{migrate_command(composition)} --phase post",
                )
            return list(applied)
        require_pre(database, sets, migrate_command(composition))
    return []


def migrate_command(composition: Composition) -> str:
    """Return the command line that applies the migrations of this deployment."""
    path = composition.deployment.path
    return shlex.join(["rolehost", "migrate", "up", *(["-d", str(path)] if path else [])])


def migrate_policy(composition: Composition) -> Literal["run", "check"]:
    """Return ``run`` if a start applies pending migrations, ``check`` if they are an error."""
    settings = composition.deployment.host.deployment
    return settings.migrate or ("check" if settings.environment == "production" else "run")


def running_processes(database: Database) -> list[str]:
    """Return the ids of all running processes of the fleet; they may run older code."""
    if not database.peewee.table_exists("rolehost_processes"):
        return []
    return Presence(database, DatabaseClock(lambda: database), 0.0).ids(live=True)
