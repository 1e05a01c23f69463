"""Input of ``rolehost webhooks send``: messages whose payloads are kept byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. If ``event_id`` is None, the host generates one."""

    event_type: str
    payload: bytes
    event_id: str | None = None


class _Examples(msgspec.Struct):
    """An element of ``@octokit/webhooks-examples``' ``index.json``."""

    name: str
    examples: list[msgspec.Raw]


class _Message(msgspec.Struct, rename="camel"):
    """A message in the form that the API accepts."""

    event_type: str
    payload: msgspec.Raw
    event_id: str | None = None


def from_file(path: Path, event_type: str | None) -> list[Outgoing]:
    """Read a JSON array, or one JSON value per line (JSON Lines).

    An element is a message (``eventType`` and ``payload``) or a group of examples (``name`` and
    ``examples``). Any other element is a payload of the given event type.

    Raises:
        click.ClickException: if the file is not JSON, or a payload has no event type.
    """
    content = path.read_bytes()
    try:
        if content.lstrip().startswith(b"["):
            elements = msgspec.json.decode(content, type=list[msgspec.Raw])
        else:
            lines = [line for line in content.splitlines() if line.strip()]
            elements = [msgspec.json.decode(line, type=msgspec.Raw) for line in lines]
        return [message for element in elements for message in _messages(element, event_type)]
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{path}: {error}") from None
    except LookupError as error:
        raise click.ClickException(f"{path}: {error.args[0]}") from None


def one(data: str, event_type: str | None) -> Outgoing:
    """Return a message with the payload that is given as text.

    Raises:
        click.UsageError: if the payload has no event type, or is not JSON.
    """
    if event_type is None:
        raise click.UsageError("--data needs --type")
    try:
        payload = msgspec.json.decode(data.encode(), type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--data: {error}") from None
    return Outgoing(event_type, bytes(payload))


def _messages(element: msgspec.Raw, event_type: str | None) -> Iterator[Outgoing]:
    raw = bytes(element)
    if (group := _decode(raw, _Examples)) is not None:
        for example in group.examples:
            yield Outgoing(event_type or group.name, bytes(example))
    elif (message := _decode(raw, _Message)) is not None:
        yield Outgoing(event_type or message.event_type, bytes(message.payload), message.event_id)
    elif event_type is None:
        raise LookupError("an element is a payload without an event type; set it with --type")
    else:
        yield Outgoing(event_type, raw)


def _decode(raw: bytes, kind: type[T]) -> T | None:
    """Decode JSON into ``kind``; return None if it does not match."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return None
