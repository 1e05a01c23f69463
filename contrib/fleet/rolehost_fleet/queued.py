"""Try to decode queued jobs and events with the types of a new version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from rolehost.api.actors import Actor
from rolehost.composition.manifest import ActorEntry, Manifest
from rolehost.composition.schemas import Schema, refusal
from rolehost.delivery import envelope
from rolehost.delivery.arguments import Signature
from rolehost.delivery.outbox import decode_headers
from rolehost.errors import PayloadError
from rolehost.storage import Database, Record

#: Maximum number of jobs of one actor, or events of one topic, to decode; the oldest ones.
MAX_DECODED = 1000

#: Raises ValueError with the reason if it cannot decode the bytes.
Decoder = Callable[[bytes], object]


class Unreadable(NamedTuple):
    """Queued work that the new version cannot decode.

    Attributes:
        name: the actor, or the topic and the group.
        failed: number of jobs or events that cannot be decoded.
        tried: number of jobs or events that were tried.
        example: id of the first one that failed.
        why: the error of the first one that failed, without values.
    """

    name: str
    failed: int
    tried: int
    example: str
    why: str


def decoders(
    manifests: Iterable[Manifest], actors: Iterable[Mapping[str, Actor]] = ()
) -> dict[str, Decoder]:
    """Return a decoder for the arguments of each actor.

    Args:
        manifests: manifests of the new version.
        actors: installed actors by name; their types check more than a schema can.
    """
    known = {name: actor for each in actors for name, actor in each.items()}
    made: dict[str, Decoder] = {}
    for manifest in manifests:
        for name, entry in manifest.actors_run.items():
            made[name] = _by_schema(entry.arguments)
            if name in known:
                made[name] = _by_type(known[name], made[name])
    return made


def unreadable_jobs(
    database: Database, manifests: Iterable[Manifest], reading: Mapping[str, Decoder]
) -> list[Unreadable]:
    """Try to decode the arguments of unfinished jobs as the new workers do."""
    entries: dict[str, ActorEntry] = {}
    for manifest in manifests:
        entries.update(manifest.actors_run)
    found = []
    for name in sorted(reading.keys() & entries.keys()):
        with database.session():
            rows = database.read(
                "SELECT id, arguments FROM rolehost_jobs WHERE actor = ? AND state IN"
                " ('available', 'scheduled', 'retrying', 'claimed', 'running')"
                " ORDER BY id LIMIT ?",
                (name, MAX_DECODED),
            )
        found += _undecodable(
            name, [(f"job {row[0]}", bytes(row[1])) for row in rows], reading[name]
        )
    return found


def unreadable_events(database: Database, manifests: Iterable[Manifest]) -> list[Unreadable]:
    """Try to decode the payloads of events in the outbox as the new handlers do."""
    found = []
    for manifest in manifests:
        for (topic, group), entry in sorted(manifest.handlers_run.items()):
            if entry.payload is None:
                continue
            with database.session():
                rows = database.read(
                    "SELECT id, headers, value FROM rolehost_outbox WHERE topic = ?"
                    " ORDER BY id LIMIT ?",
                    (topic, MAX_DECODED),
                )
            values = []
            for number, headers, value in rows:
                record = Record(topic, bytes(value), None, decode_headers(bytes(headers)))
                values.append((f"event {number} of the outbox", envelope.id_and_data(record)[1]))
            found += _undecodable(f"{topic}/{group}", values, _by_schema(entry.payload))
    return found


def _undecodable(name: str, values: list[tuple[str, bytes]], read: Decoder) -> list[Unreadable]:
    failed = []
    for label, value in values:
        try:
            read(value)
        except ValueError as error:
            failed.append((label, str(error)))
    if not failed:
        return []
    return [Unreadable(name, len(failed), len(values), *failed[0])]


def _by_type(actor: Actor, by_schema: Decoder) -> Decoder:
    signature = Signature(actor)

    def read(body: bytes) -> object:
        try:
            return signature.decode(body)
        except PayloadError as error:
            by_schema(body)  # its error shows no value
            raise ValueError(str(error)) from None

    return read


def _by_schema(schema: Schema) -> Decoder:
    def read(body: bytes) -> None:
        try:
            value = msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from None
        why = refusal(schema, value)
        if why:
            raise ValueError(why)

    return read
