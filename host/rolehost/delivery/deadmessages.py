"""Dead letters of ephemeral actors: kept by the queue backend, not in the service database.

They have the id ``message:N`` beside ``job:N`` and ``event:N``. Their bytes are a message as
Dramatiq writes it, JSON, or whatever somebody else put into the queue.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rolehost.delivery.deadletters import DeadLetter
from rolehost.storage import DeadMessage, Queue

#: Options that tell of attempts made: Dramatiq's Retries, and when it was delayed last.
_ATTEMPTS = frozenset({"retries", "traceback", "requeue_timestamp", "eta"})


def listing(queue: Queue, *, what: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """Return dead messages, newest first; ``what`` keeps those of one actor.

    Raises:
        StorageUnavailable: the queue cannot be asked.
    """
    letters = [
        DeadLetter(
            id=f"message:{each.number}",
            what=_fields(each.data).get("actor_name", ""),
            origin=each.queue,
            error=each.reason,
            died_at=each.died_at,
            state="dead",
        )
        for each in queue.dead_messages(limit)
    ]
    return [letter for letter in letters if what is None or letter.what == what]


def show(queue: Queue, number: int) -> dict[str, Any] | None:
    """Return everything known of one; None when there is none of that number."""
    found = queue.dead_message(number)
    if found is None:
        return None
    fields = _fields(found.data)
    return {
        "id": f"message:{found.number}",
        "queue": found.queue,
        "actor": fields.get("actor_name"),
        "arguments": fields.get("kwargs"),
        "error": found.reason,
        "traceback": fields.get("options", {}).get("traceback"),
        "died_at": found.died_at,
        "data": found.data.decode(errors="replace"),
    }


def replay(queue: Queue, number: int) -> bool:
    """Let one be taken again, from its first attempt; say whether it was there."""
    found = queue.dead_message(number)
    return found is not None and queue.replay_message(found, _fresh(found))


def _fresh(letter: DeadMessage) -> bytes:
    """Return its bytes without the attempts that were made; unchanged when they are no message."""
    fields = _fields(letter.data)
    if not fields:
        return letter.data
    options = {name: value for name, value in fields["options"].items() if name not in _ATTEMPTS}
    return msgspec.json.encode({**fields, "options": options})


def _fields(data: bytes) -> dict[str, Any]:
    """Return the fields of a message; none when the bytes are no message."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    known = isinstance(fields.get("actor_name"), str) and isinstance(fields.get("options"), dict)
    return fields if known else {}
