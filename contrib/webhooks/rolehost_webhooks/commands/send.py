"""``rolehost webhooks send``: sends messages over HTTP or through the stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import track
from rolehost.api import CommandContext, Event

from rolehost_webhooks.commands.client import Client
from rolehost_webhooks.commands.messages import Outgoing, from_file, one
from rolehost_webhooks.commands.options import api_token, host_options, host_url, settings_of
from rolehost_webhooks.errors import Rejected
from rolehost_webhooks.rules import check_name

Deliver = Callable[[Outgoing], str]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@host_options
@click.option("--type", "event_type", help="The event type of all messages.")
@click.option("--data", help="One payload, as JSON.")
@click.option(
    "--via",
    type=click.Choice(["http", "stream"]),
    default="http",
    show_default=True,
    help="Send to the API of a running host, or as events through this deployment's stream.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def send(
    context: CommandContext,
    files: tuple[Path, ...],
    url: str | None,
    token: str | None,
    app: str,
    event_type: str | None,
    data: str | None,
    via: str,
    as_json: bool,
) -> None:
    """Send messages to an application: one with --data, or those of FILES.

    A file is a JSON array, or has one JSON value per line. Payloads are sent byte for byte.
    """
    if (data is None) == (not files):
        raise click.UsageError("give either --data or files")
    messages = [one(data, event_type)] if data is not None else []
    for path in files:
        messages += from_file(path, event_type)
    began = time.monotonic()
    if via == "http":
        client = Client(host_url(context, url), api_token(context, token))
        deliver = _over_http(client, app)
    else:
        deliver = _through_stream(context, app)
    sent = _send_all(messages, deliver)
    seconds = time.monotonic() - began
    if as_json:
        click.echo(msgspec.json.encode({"sent": len(sent), "seconds": seconds, "ids": sent}))
    else:
        click.echo(f"sent {len(sent)} to application {app} in {seconds:.2f} s")
        if len(sent) == 1:
            click.echo(sent[0])


def _send_all(messages: list[Outgoing], deliver: Deliver) -> list[str]:
    """Send the messages, with a progress bar if there are several; return their ids."""
    if len(messages) == 1:
        return [deliver(messages[0])]
    console = Console(stderr=True)
    return [
        deliver(message)
        for message in track(messages, description="Sending", console=console, transient=True)
    ]


def _over_http(client: Client, app: str) -> Deliver:
    """Return a function that posts one message to the API."""
    wanted = msgspec.json.encode({"name": app, "uid": app})
    client.call("POST", "app", body=wanted, query="?get_if_exists=true")

    def deliver(message: Outgoing) -> str:
        head = {"eventType": message.event_type}
        if message.event_id is not None:
            head["eventId"] = message.event_id
        # Concatenated, not encoded, so that the bytes of the payload do not change.
        body = msgspec.json.encode(head)[:-1] + b',"payload":' + message.payload + b"}"
        answer = client.call("POST", "app", app, "msg", body=body, query="?with_content=false")
        return str(answer["id"])

    return deliver


def _through_stream(context: CommandContext, app: str) -> Deliver:
    """Return a function that publishes one event to the topic of ``webhooks-ingest``."""
    from rolehost_webhooks.handlers.ingest import APPLICATION_ATTRIBUTE

    settings = settings_of(context, "webhooks-ingest")
    if settings is None:
        raise click.ClickException("this deployment does not enable webhooks-ingest")
    services = context.services()
    _check_name(app, "--app")

    def deliver(message: Outgoing) -> str:
        _check_name(message.event_type, "eventType")
        if message.event_id is not None:
            _check_name(message.event_id, "eventId")
        return services.publish(
            Event(
                topic=settings.topic,
                type=message.event_type,
                data=message.payload,
                id=message.event_id or "",
                extensions={APPLICATION_ATTRIBUTE: app},
            )
        )

    return deliver


def _check_name(text: str, what: str) -> None:
    """Refuse a value that the handler would dead-letter.

    Raises:
        click.ClickException: if the text is not a valid name.
    """
    try:
        check_name(text, (what,))
    except Rejected as error:
        raise click.ClickException(f"{what} {text!r}: {error}") from None
