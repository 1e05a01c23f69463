"""The commands that list the contributions of plugins, and the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_rows
from rolehost.composition import Composition, access_of, responders
from rolehost.composition.settings import effective
from rolehost.deployment import redacted
from rolehost.redaction import HIDDEN

if TYPE_CHECKING:
    pass


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def routes(context: Context, as_json: bool) -> None:
    """List HTTP routes by path, with methods, plugin, access and source location."""
    composition = context.composition
    http = composition.deployment.host.http
    rows = [
        {
            "path": owned.value.path,
            "methods": sorted(responders(owned.value)),
            "plugin": owned.plugin,
            "access": access_of(owned, composition.authentications, http),
            "idempotent": owned.value.idempotent,
            "max_body": owned.value.max_body or http.max_body,
            "location": owned.location,
        }
        for owned in composition.routes
    ]
    rows.sort(key=lambda row: (row["path"], row["methods"]))
    print_rows(rows, as_json=as_json, empty="no enabled plugin contributes a route")


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def actors(context: Context, as_json: bool) -> None:
    """List actors by name: actors of this deployment, and actors it only enqueues."""
    composition = context.composition
    rows = []
    for name in sorted({*composition.actors, *composition.enqueues}):
        owned = composition.actors.get(name)
        actor = owned.value if owned else None
        rows.append(
            {
                "name": name,
                "queue": actor.queue if actor else None,
                "durable": actor.durable if actor else None,
                "priority": actor.priority if actor else None,
                "attempts": actor.retry.attempts if actor else None,
                "plugin": owned.plugin if owned else None,
                "enqueued_by": composition.enqueuers(name),
                "location": owned.location if owned else "in another deployment",
            }
        )
    print_rows(rows, as_json=as_json, empty="no enabled plugin contributes or enqueues an actor")


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def handlers(context: Context, as_json: bool) -> None:
    """List event handlers by topic and consumer group."""
    composition = context.composition
    rows = [
        {
            "topic": owned.value.topic,
            "group": owned.value.group,
            "name": owned.value.name,
            "batch": owned.value.batch,
            "attempts": owned.value.retry.attempts,
            "plugin": owned.plugin,
            "published_by": composition.publishers(owned.value.topic),
            "location": owned.location,
        }
        for owned in composition.handlers
    ]
    rows.sort(key=lambda row: (row["topic"], row["group"]))
    print_rows(rows, as_json=as_json, empty="no enabled plugin contributes a handler")


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def settings(context: Context, as_json: bool) -> None:
    """List every setting with its value and origin, including defaults; secrets are asterisks."""
    rows = sorted(values(context.composition), key=lambda row: str(row["key"]))
    print_rows(rows, as_json=as_json, empty="there are no settings")


def values(composition: Composition) -> Iterator[dict[str, Any]]:
    """Yield key, value and origin of every setting of the host and of enabled plugins."""
    for key, value, origin in effective(composition):
        yield {
            "key": key,
            "value": HIDDEN if origin.hidden else redacted(value),
            "origin": origin.text,
        }


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def commands(context: Context, as_json: bool) -> None:
    """List the commands that plugins add."""
    rows = [
        {"name": owned.value.name, "summary": owned.value.summary, "plugin": owned.plugin}
        for owned in context.composition.commands
    ]
    rows.sort(key=lambda row: row["name"])
    print_rows(rows, as_json=as_json, empty="no enabled plugin contributes a command")


def extends(composition: Composition, plugin: str) -> list[str]:
    """Return the extension points that a plugin implements: ``HOOK of plugin NAME``, sorted."""
    return sorted(
        f"{point.hook} of plugin {owner.name}"
        for owner in composition.plugins
        for point in owner.info.extension_points
        if any(each.plugin == plugin for each in composition.extensions.get(point.hook, ()))
    )
