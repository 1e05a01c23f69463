"""Read the jobs and events of a host, match them, and build assertion errors about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from rolehost.api import Actor
from rolehost.delivery import administration, envelope
from rolehost.storage import Database, Record

from rolehost_testing.kit.matching import differences

#: Maximum number of jobs of the same actor, or events of the same topic, that a failed assertion
#: shows.
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """One durable job, in any state.

    Attributes:
        id: the row's id.
        actor: name of the actor.
        arguments: the arguments, decoded from JSON.
        state: state of the job: ``available``, ``scheduled``, ``completed``, ``dead``, …
        run_at: time from which it may run, in milliseconds since the epoch.
        queue: its queue.
        key: jobs with the same key run one after the other; None if it has no key.
        unique: its uniqueness key, or None.
        priority: lower numbers run first.
        attempts: number of counted attempts.
        error: the error of the last attempt; None if it did not fail.
    """

    id: int
    actor: str
    arguments: Mapping[str, Any]
    state: str
    run_at: int
    queue: str
    key: str | None
    unique: str | None
    priority: int
    attempts: int
    error: str | None

    def __str__(self) -> str:
        shown = msgspec.json.encode(self.arguments).decode()
        failed = f" ({self.error})" if self.error else ""
        return f"job {self.id} of {self.actor}, {self.state}{failed}: {shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One event that a committed unit of work published, relayed to the stream or not.

    Attributes:
        topic: its topic.
        type: CloudEvents ``type``.
        data: the payload, decoded from JSON; bytes if it is not JSON.
        key: events with the same key keep their order; None if it has no key.
        id: CloudEvents ``id``.
        source: CloudEvents ``source``.
        subject: CloudEvents ``subject``, or None.
        time: CloudEvents ``time``.
        extensions: CloudEvents extension attributes.
    """

    topic: str
    type: str
    data: Any
    key: str | None
    id: str
    source: str
    subject: str | None
    time: datetime | None
    extensions: Mapping[str, str]

    def __str__(self) -> str:
        data = self.data if isinstance(self.data, bytes) else msgspec.json.encode(self.data)
        return f"event of {self.topic}, {self.type}: {data.decode(errors='replace')}"


def enqueued(database: Database) -> list[Enqueued]:
    """Return every durable job in the database, in the order of enqueueing."""
    return [
        Enqueued(
            id=row["id"],
            actor=row["actor"],
            arguments=msgspec.json.decode(row["arguments"]),
            state=row["state"],
            run_at=row["run_at"],
            queue=row["queue"],
            key=row["key"],
            unique=row["unique_key"],
            priority=row["priority"],
            attempts=row["attempt"],
            error=row["error"],
        )
        for row in reversed(administration.listing(database, limit=1_000_000))
    ]


def published(records: Sequence[Record]) -> list[Published]:
    """Convert records to events."""
    found = []
    for record in records:
        event = envelope.to_event(record, None)
        try:
            data = msgspec.json.decode(event.data)
        except msgspec.DecodeError:
            data = event.data
        found.append(
            Published(
                topic=event.topic,
                type=event.type,
                data=data,
                key=event.key,
                id=event.id,
                source=event.source,
                subject=event.subject,
                time=event.time,
                extensions=event.extensions,
            )
        )
    return found


def matching_job(
    jobs: Sequence[Enqueued], actor: Actor | str, arguments: Mapping[str, Any]
) -> Enqueued | None:
    """Return the first job of an actor with matching arguments, or None."""
    name = actor if isinstance(actor, str) else actor.name
    return next(
        (job for job in jobs if job.actor == name and not differences(arguments, job.arguments)),
        None,
    )


def no_job(
    jobs: Sequence[Enqueued], actor: Actor | str, arguments: Mapping[str, Any]
) -> AssertionError:
    """Return the error for a missing job; it shows which jobs were enqueued instead."""
    name = actor if isinstance(actor, str) else actor.name
    mine = [job for job in jobs if job.actor == name]
    lines = [f"no job of {name}{_with(arguments)} was enqueued"]
    lines += _near([(str(job), differences(arguments, job.arguments)) for job in mine])
    others = Counter(job.actor for job in jobs if job.actor != name)
    lines += _others("jobs of other actors", others)
    if not jobs:
        lines.append("  nothing was enqueued at all")
    return AssertionError("\n".join(lines))


def matching_event(
    events: Sequence[Published],
    topic: str,
    kind: str | None,
    data: Mapping[str, Any],
) -> Published | None:
    """Return the first matching event of a topic, or None. A type of None matches any type."""
    return next((each for each in events if not _event_differs(each, topic, kind, data)), None)


def no_event(
    events: Sequence[Published],
    topic: str,
    kind: str | None,
    data: Mapping[str, Any],
) -> AssertionError:
    """Return the error for a missing event; it shows which were published instead."""
    typed = f" of type {kind}" if kind is not None else ""
    lines = [f"no event{typed}{_with(data)} was published to {topic}"]
    mine = [each for each in events if each.topic == topic]
    lines += _near([(str(each), _event_differs(each, topic, kind, data)) for each in mine])
    others = Counter(each.topic for each in events if each.topic != topic)
    lines += _others("events of other topics", others)
    if not events:
        lines.append("  nothing was published at all")
    return AssertionError("\n".join(lines))


def _event_differs(
    event: Published,
    topic: str,
    kind: str | None,
    data: Mapping[str, Any],
) -> list[str]:
    if event.topic != topic:
        return [f"topic: expected {topic!r}, got {event.topic!r}"]
    lines = [] if kind in (None, event.type) else [f"type: expected {kind!r}, got {event.type!r}"]
    return lines + (differences(data, event.data) if data else [])


def _with(expected: Mapping[str, Any]) -> str:
    return (
        f" with {', '.join(f'{name}={value!r}' for name, value in expected.items())}"
        if expected
        else ""
    )


def _near(found: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return lines about the candidates, those with the fewest differences first."""
    lines = []
    nearest = sorted(found, key=lambda each: len(each[1]))
    for text, differing in nearest[:SHOWN]:
        lines.append(f"  {text}")
        lines += [f"    {line}" for line in differing]
    if len(nearest) > SHOWN:
        lines.append(f"  and {len(nearest) - SHOWN} more")
    return lines


def _others(what: str, counted: Counter[str]) -> list[str]:
    names = ", ".join(f"{name} ({count})" for name, count in sorted(counted.items()))
    return [f"  {what}: {names}"] if names else []
