"""``rolehost webhooks listen``: receives, verifies and prints webhooks."""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.json import JSON
from rolehost.api import CommandContext

from rolehost_webhooks.commands.client import Client
from rolehost_webhooks.commands.options import (
    TOKEN_VARIABLE,
    api_token,
    host_options,
    host_url,
    settings_of,
)
from rolehost_webhooks.commands.receiver import ReceivedRequest, Receiver

EXAMPLE = '{"eventType":"invoice.paid","payload":{"id":"in_1","total":4200}}'


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8010, show_default=True, help="Port; 0 takes a free one.")
@host_options
@click.option("--count", type=click.IntRange(min=1), help="End after this many deliveries.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_obj
def listen(
    context: CommandContext,
    host: str,
    port: int,
    url: str | None,
    token: str | None,
    app: str,
    count: int | None,
    as_json: bool,
) -> None:
    """Receive the webhooks of an application here, verify and print them.

    Creates the application if it is missing, and an endpoint that is removed at the end.
    Ends with Ctrl-C, or after --count deliveries; exits with 1 if a signature is invalid.
    """
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    given = api_token(context, token)
    client = Client(host_url(context, url), given)
    try:
        receiver = Receiver(host, port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        with _exit_on_sigterm(), _endpoint(client, app, receiver):
            _print_help(console, context, client, app, receiver, given is not None)
            wrong = _print(console, receiver, count, as_json)
    finally:
        receiver.close()
    if wrong:
        raise click.ClickException(f"{wrong} deliveries had no valid signature")


@contextmanager
def _endpoint(client: Client, app: str, receiver: Receiver) -> Iterator[None]:
    """Create an endpoint with the receiver's URL; remove it at the end."""
    wanted = msgspec.json.encode({"name": app, "uid": app})
    client.call("POST", "app", body=wanted, query="?get_if_exists=true")
    uid = f"listen-{receiver.url.rstrip('/').rpartition(':')[2]}"
    described = {"url": receiver.url, "description": "rolehost webhooks listen", "uid": uid}
    path = ("app", app, "endpoint", uid)
    client.call("PUT", *path, body=msgspec.json.encode(described))
    try:
        receiver.trust(client.call("GET", *path, "secret")["key"])
        yield
    finally:
        client.call("DELETE", *path)


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM end the command as Ctrl-C does: clean up and exit with 0."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_help(
    console: Console,
    context: CommandContext,
    client: Client,
    app: str,
    receiver: Receiver,
    protected: bool,
) -> None:
    """Print the status, and how to send a message."""
    authorization = f' -H "authorization: Bearer ${TOKEN_VARIABLE}"' if protected else ""
    console.print(f"Listening on {receiver.url} for application {app}. To send a message:\n")
    console.print(
        f"  curl {client.url}/api/v1/app/{app}/msg{authorization}"
        f" -H 'content-type: application/json' -d '{EXAMPLE}'\n",
        markup=False,
    )
    delivery = settings_of(context, "webhooks-delivery")
    if delivery is not None and not delivery.allow_private:
        console.print(
            "[yellow]This deployment does not deliver to private addresses:"
            " set allow_private = true in [webhooks-delivery].[/]",
        )


def _print(console: Console, receiver: Receiver, count: int | None, as_json: bool) -> int:
    """Print deliveries as they arrive; return the number of invalid ones."""
    seen = wrong = 0
    while count is None or seen < count:
        try:
            # The timeout lets Python handle signals on every platform.
            request = receiver.requests.get(timeout=0.5)
        except queue.Empty:
            continue
        seen += 1
        wrong += not request.verified
        if as_json:
            click.echo(_line(request))
        else:
            _show(console, request)
    return wrong


def _line(request: ReceivedRequest) -> str:
    shown = {
        "id": request.id,
        "verified": request.verified,
        "bytes": len(request.body),
        "payload": request.body.decode("utf-8", "replace"),
    }
    return msgspec.json.encode(shown).decode()


def _show(console: Console, request: ReceivedRequest) -> None:
    verdict = "[green]verified[/]" if request.verified else f"[red]refused: {request.error}[/]"
    stamp = time.strftime("%H:%M:%S")
    console.print(f"{stamp}  {request.id}  {len(request.body)} bytes  {verdict}")
    text = request.body.decode("utf-8", "replace")
    try:
        console.print(JSON(text))
    except ValueError:
        console.print(text, markup=False)
