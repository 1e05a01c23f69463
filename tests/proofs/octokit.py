"""GitHub's real payloads, sent by Svix's client, arrive unchanged and can be verified."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.proofs.deployed import Deployed, client_services, embedded
from tests.proofs.kit import FIXTURES, Figures, Options, Unavailable
from tests.proofs.receiver import Received, Receiver, receiving

PROMISE = (
    "The 329 examples of GitHub's webhooks (npm package @octokit/webhooks-examples), sent by the"
    " svix client over REST and again through the stream, arrive byte for byte and are listed as"
    " attempts; the Python packages standardwebhooks and svix verify their signatures"
)
DURATION = "about 15 s"

PAYLOADS = 329
#: Timeout in seconds for all deliveries.
PATIENCE = 120.0


def prove(options: Options) -> Figures:
    """Send every payload both ways; ``--short`` changes nothing, because the proof is short."""
    examples = list(payloads())
    assert len(examples) == PAYLOADS, f"{len(examples)} payloads in the package"
    with embedded() as deployed:
        rest = over_rest(deployed, examples, options)
        stream = through_stream(deployed, examples, options)
    return {
        "payloads": len(examples),
        **{f"rest_{name}": value for name, value in rest.items()},
        **{f"stream_{name}": value for name, value in stream.items()},
    }


def payloads() -> Iterator[tuple[str, Any]]:
    """Yield (event type, payload) of every example.

    Raises:
        Unavailable: the package is not installed.
    """
    index = FIXTURES / "octokit-webhooks-examples-7.6.1" / "api.github.com" / "index.json"
    if not index.is_file():
        raise Unavailable("the payloads are not here: run scripts/fixtures.sh (needs npm)")
    for event in json.loads(index.read_text()):
        for example in event["examples"]:
            yield f"github.{event['name']}", example


def over_rest(deployed: Deployed, examples: list[tuple[str, Any]], options: Options) -> Figures:
    """Send with ``message.create``; exactly the bytes that the client sends must arrive."""
    from svix.api import MessageIn

    client = svix_client(deployed)
    with subscribed(deployed, client, "rest") as receiver:
        sent: dict[str, bytes] = {}
        task = options.progress(len(examples), "REST")
        for event_type, payload in examples:
            message = MessageIn(event_type=event_type, payload=payload)
            created = client.message.create("rest", message)
            sent[created.id] = on_the_wire(message)
            task.advance(1)
        return arrived(client, "rest", receiver, sent)


def through_stream(
    deployed: Deployed, examples: list[tuple[str, Any]], options: Options
) -> Figures:
    """Publish to the ingest topic; the event id identifies the message."""
    from rolehost.api import Event

    client = svix_client(deployed)
    with subscribed(deployed, client, "stream") as receiver:
        bodies: dict[str, bytes] = {}
        task = options.progress(len(examples), "stream")
        with client_services(deployed.path) as services:
            for number, (event_type, payload) in enumerate(examples):
                body = json.dumps(payload, ensure_ascii=number % 2 == 0).encode()
                event = Event(
                    topic="webhooks",
                    type=event_type,
                    data=body,
                    id=f"octokit-{number}",
                    key=event_type,
                    extensions={"webhooksapp": "stream"},
                )
                bodies[services.publish(event)] = body
                task.advance(1)
        assert receiver.wait(lambda: len(receiver.ledger) >= len(bodies), PATIENCE), (
            f"{len(receiver.ledger)} of {len(bodies)} arrived; refused: {receiver.refused[:3]}"
        )
        sent = {client.message.get("stream", event).id: body for event, body in bodies.items()}
        return arrived(client, "stream", receiver, sent)


def arrived(client: Any, app: str, receiver: Receiver, sent: dict[str, bytes]) -> Figures:
    """Compare the received messages with the sent ones and with the attempts in the API."""
    everything = receiver.wait(lambda: sent.keys() <= receiver.ledger.keys(), PATIENCE)
    assert everything, f"{len(receiver.ledger)} of {len(sent)}; refused: {receiver.refused[:3]}"
    assert not receiver.refused, receiver.refused[:3]
    assert receiver.ledger.keys() == sent.keys(), "messages that nobody sent"
    identical = sum(receiver.ledger[name].body == body for name, body in sent.items())
    assert identical == len(sent), f"{len(sent) - identical} payloads changed on their way"
    listed = Counter(
        attempt.status
        for name in sent
        for attempt in client.message_attempt.list_by_msg(app, name).data
    )
    successes = listed[0]
    assert successes >= len(sent), f"attempts listed by status: {dict(listed)}"
    return {
        "arrived": len(receiver.ledger),
        "identical": identical,
        "verified": len(receiver.ledger),
        "attempts": successes,
        "duplicates": sum(receiver.wire.values()) - len(receiver.ledger),
    }


def on_the_wire(message: Any) -> bytes:
    """Return the bytes of the payload within the client's request body."""
    import msgspec

    body = message.model_dump_json(exclude_unset=True, by_alias=True).encode()
    return bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["payload"])


def svix_client(deployed: Deployed) -> Any:
    """Return Svix's client; only the server URL is changed."""
    try:
        from svix.api import Svix, SvixOptions
    except ImportError:
        raise Unavailable("the svix client is not installed: pip install svix") from None
    return Svix("token", SvixOptions(server_url=deployed.url))


class subscribed:
    """An application with an endpoint whose receiver verifies every delivery."""

    def __init__(self, deployed: Deployed, client: Any, app: str) -> None:
        self._client = client
        self._app = app
        self._secret = "whsec_" + base64.b64encode(f"secret of {app:<24}".encode()).decode()
        self._context = receiving(self._verify)

    def __enter__(self) -> Receiver:
        from svix.api import ApplicationIn, EndpointIn

        receiver = self._context.__enter__()
        self._client.application.create(ApplicationIn(name=self._app, uid=self._app))
        self._client.endpoint.create(self._app, EndpointIn(url=receiver.url, secret=self._secret))
        return receiver

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def _verify(self, received: Received) -> None:
        from standardwebhooks.webhooks import Webhook as StandardWebhook
        from svix.webhooks import Webhook as SvixWebhook

        StandardWebhook(self._secret).verify(received.body, received.headers)
        SvixWebhook(self._secret).verify(received.body, received.headers)
