"""The plugin ``entries-api``: a route whose effects are rows, a job and a keyed event."""

from __future__ import annotations

import falcon
from rolehost.api import Event, Migrations, PluginInfo, Route, Services, hookimpl
from rolehost.api.http import decode

from rolehost_entries.shapes import ACCEPTED, Entry, Numbered


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=1,
        summary="Accepts entries",
        requires=("database", "stream"),
        enqueues=("entries.settle",),
        publishes=(ACCEPTED,),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the tables and their models."""
    from rolehost_entries.models import MIGRATIONS

    return [MIGRATIONS]


@hookimpl
def rolehost_routes() -> list[Route]:
    """Return the one route."""
    return [Route("/entries", Entries(), idempotent=True)]


class Entries:
    """``/entries``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Accept an entry: its number, its effect, its job and its event in one transaction."""
        from rolehost_entries.jobs import settle
        from rolehost_entries.models import following, happened

        new = decode(req.context.body, Entry)
        services: Services = req.context.services
        with services.unit_of_work() as work:
            # The counter's row is locked until the commit, so the events of a key are written
            # in the order of their numbers.
            seq = following("accepted", new.key)
            happened("accepted", new.entry, new.key, seq, seq)
            work.enqueue(settle, entry=new.entry, of=new.key, seq=seq, hold=new.hold)
            event = Numbered(new.entry, new.key, seq)
            work.publish(Event(topic=ACCEPTED, type="entry", data=event, key=new.key))
        resp.status = falcon.HTTP_201
        resp.media = {"seq": seq}
