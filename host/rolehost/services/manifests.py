"""The table ``rolehost_manifests``: the manifest of each deployment that uses the database.

A manifest describes a deployment as data. It is stored once for all processes of the deployment.
Other deployments read it to enqueue jobs for the actors in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rolehost.composition.manifest import ActorEntry, Manifest, decode, encode
from rolehost.composition.schemas import refusal
from rolehost.delivery import arguments, leases
from rolehost.delivery.runtime import Target
from rolehost.errors import PayloadError
from rolehost.storage import Database

TABLE = "rolehost_manifests"

#: Seconds for which a manifest is kept after its last use, because jobs of its actors may still be
#: in the database.
KEEP = 30 * 86400


def store(database: Database, manifest: Manifest, now: int) -> None:
    """Store a manifest, or update the time of its last use; ``now`` is in milliseconds.

    If another process has locked the row, this process does not wait: the other one writes about
    the same time.
    """
    with database.session(), database.transaction() as tx:
        if tx.execute(
            f"UPDATE {TABLE} SET seen_at = ? WHERE hash IN"
            f" (SELECT hash FROM {TABLE} WHERE hash = ?{leases.skip_locked(database)})",
            (now, manifest.hash),
        ).rowcount:
            return
        tx.execute(
            f"INSERT INTO {TABLE} (hash, deployment, content, seen_at) SELECT ?, ?, ?, ?"
            f" WHERE NOT EXISTS (SELECT 1 FROM {TABLE} WHERE hash = ?) ON CONFLICT DO NOTHING",
            (manifest.hash, manifest.deployment, encode(manifest), now, manifest.hash),
        )


def read(database: Database) -> dict[str, Manifest]:
    """Return the stored manifests by hash, newest first; omit those that this host cannot read."""
    with database.session():
        if not database.peewee.table_exists(TABLE):
            return {}
        rows = database.read(f"SELECT hash, content FROM {TABLE} ORDER BY seen_at DESC, hash")
    found = {}
    for digest, content in rows:
        try:
            found[str(digest)] = decode(bytes(content))
        except ValueError:
            continue
    return found


def delete_expired(database: Database, now: int) -> int:
    """Delete unused manifests, see :data:`KEEP`; return how many. ``now`` is in milliseconds."""
    with database.session(), database.transaction() as tx:
        return tx.execute(
            f"DELETE FROM {TABLE} WHERE seen_at < ? AND hash NOT IN"
            " (SELECT manifest FROM rolehost_processes WHERE manifest IS NOT NULL)",
            (now - KEEP * 1000,),
        ).rowcount


def target(database: Database, name: str) -> Target | None:
    """Return the queue and encoder for jobs of another deployment's actor; None if unknown.

    The newest manifest with this actor is used; arguments are checked against the schema in it. The
    priority is 0, because manifests do not contain priorities.
    """
    for manifest in read(database).values():
        entry = manifest.actors_run.get(name)
        if entry is not None and entry.durable:
            return Target(name, entry.queue, 0, _encoder(entry))
    return None


def _encoder(entry: ActorEntry) -> arguments.Encoder:
    def encode(plain: Mapping[str, Any]) -> bytes:
        body = arguments.encode(entry.name, dict(plain))
        if why := refusal(entry.arguments, msgspec.json.decode(body)):
            raise PayloadError(f"arguments of actor {entry.name}: {why}")
        return body

    return encode
