"""Where jobs go of actors that other deployments of the fleet work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rolehost.composition.manifest import ActorEntry
from rolehost.composition.schemas import refusal
from rolehost.delivery import arguments
from rolehost.delivery.runtime import Target
from rolehost.errors import PayloadError
from rolehost.services import manifests
from rolehost.storage import Database


def target(database: Database, name: str) -> Target | None:
    """Return where jobs of an actor go, by the newest manifest of a deployment that works it.

    Arguments are checked against the schema in the manifest; the priority is 0, since no manifest
    has that of an actor.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    for manifest in manifests.read(database).values():
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
