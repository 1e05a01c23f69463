"""The plugin ``entries-events``: handlers that keep the order of each key."""

from __future__ import annotations

from rolehost.api import (
    Event,
    EventContext,
    Handler,
    Migrations,
    PluginInfo,
    handler,
    hookimpl,
)

from rolehost_entries.shapes import ACCEPTED, INCOMING, Numbered


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=1,
        summary="Takes entries as events",
        requires=("database", "stream"),
        enqueues=("entries.file",),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the tables and their models."""
    from rolehost_entries.models import MIGRATIONS

    return [MIGRATIONS]


@hookimpl
def rolehost_handlers() -> list[Handler]:
    """Return a handler for each topic."""
    return [handle, receive]


@handler(name="entries.handle", topic=ACCEPTED, group="entries", payload=Numbered)
def handle(context: EventContext, event: Event[Numbered]) -> None:
    """Note an entry that came over HTTP."""
    _note(context, "handled", event.data)


@handler(name="entries.receive", topic=INCOMING, group="entries", payload=Numbered)
def receive(context: EventContext, event: Event[Numbered]) -> None:
    """Note an entry that came through the stream."""
    _note(context, "received", event.data)


def _note(context: EventContext, kind: str, entry: Numbered) -> None:
    from rolehost_entries.jobs import file
    from rolehost_entries.models import following, happened

    with context.services.unit_of_work() as work:
        happened(kind, entry.entry, entry.key, entry.seq, following(kind, entry.key))
        work.enqueue(file, entry=entry.entry, of=entry.key, seq=entry.seq)
