"""The table ``rolehost_manifests``: what each deployment that shares the database consists of.

Each manifest is stored once, however many processes run it. Jobs of actors that other deployments
run are enqueued by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rolehost.composition.manifest import ActorEntry, Manifest, decode, encode
from rolehost.composition.schemas import refusal
from rolehost.delivery import arguments
from rolehost.delivery.runtime import Target
from rolehost.errors import PayloadError
from rolehost.storage import Database

TABLE = "rolehost_manifests"

#: Seconds for which a manifest that no process runs is kept: what ran before is what is asked
#: about when something that it worked is left over.
KEEP = 30 * 86400


def keep(database: Database, manifest: Manifest, now: int) -> None:
    """Store a manifest, or note that it is still in use; ``now`` in milliseconds."""
    with database.session(), database.transaction() as tx:
        tx.execute(
            f"INSERT INTO {TABLE} (hash, deployment, content, seen_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at",
            (manifest.hash, manifest.deployment, encode(manifest), now),
        )


def read(database: Database) -> dict[str, Manifest]:
    """Return every stored manifest by its hash, newest first; none before the table is there.

    One that a newer host wrote, and this one cannot read, is left out.
    """
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


def let_go(database: Database, now: int) -> int:
    """Delete manifests that nobody has run for long; return how many. ``now`` in milliseconds."""
    with database.session(), database.transaction() as tx:
        return tx.execute(
            f"DELETE FROM {TABLE} WHERE seen_at < ? AND hash NOT IN"
            " (SELECT manifest FROM rolehost_processes WHERE manifest IS NOT NULL)",
            (now - KEEP * 1000,),
        ).rowcount


def target(database: Database, name: str) -> Target | None:
    """Return where jobs of an actor go, by the newest manifest of a deployment that works it.

    Arguments are checked against the schema in the manifest; the priority is 0, since no manifest
    has that of an actor.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    for manifest in read(database).values():
        entry = manifest.worked.get(name)
        if entry is not None and entry.durable:
            return Target(name, entry.queue, 0, _encoder(entry))
    return None


def _encoder(entry: ActorEntry) -> arguments.Encoder:
    def encode(given: Mapping[str, Any]) -> bytes:
        body = arguments.encode(entry.name, dict(given))
        if why := refusal(entry.arguments, msgspec.json.decode(body)):
            raise PayloadError(f"arguments of actor {entry.name}: {why}")
        return body

    return encode
