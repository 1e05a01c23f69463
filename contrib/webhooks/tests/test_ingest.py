"""Events of the stream become messages, exactly as over HTTP."""

from __future__ import annotations

import json
from uuid import uuid4

import msgspec
import pytest
from rolehost.api import Event
from rolehost_testing.kit import open_host
from rolehost_webhooks.domain import applications
from rolehost_webhooks.errors import Rejected
from rolehost_webhooks.handlers.ingest import event_id_with_source, message_of
from rolehost_webhooks.models import Message
from rolehost_webhooks.schemas import applications as schemas
from rolehost_webhooks.schemas.common import Name
from svix.api import ApplicationIn, EndpointIn, MessageGetOptions, Svix

from .conftest import Host, eventually
from .receiver import Receiver


def test_an_event_without_an_application_goes_to_the_one_of_the_settings(
    host: Host, svix: Svix, receiver: Receiver
) -> None:
    """The first of two messages with one id is taken, the other changes nothing."""
    app = svix.application.get_or_create(ApplicationIn(name="x", uid="from-the-stream"))
    svix.endpoint.create(app.id, EndpointIn(url=receiver.url))
    event_id = uuid4().hex
    file = host.file.parent / "twice.jsonl"
    lines = [
        json.dumps({"eventType": "order.paid", "eventId": event_id, "payload": {"n": n}})
        for n in (1, 2)
    ]
    file.write_text("\n".join(lines))
    sent = host.command(
        "webhooks", "send", "--app", "from-the-stream", "--via", "stream", str(file)
    )
    assert sent.returncode == 0, sent.stderr
    first = receiver.next()
    taken = svix.message.get(app.id, event_id, MessageGetOptions(with_content=True))
    assert (taken.event_type, taken.id) == ("order.paid", first.headers["webhook-id"])
    assert taken.payload == json.loads(first.body)
    assert receiver.requests.empty()
    assert len(svix.message.list(app.id).data) == 1


def test_an_event_that_can_never_be_a_message_is_a_dead_letter(host: Host) -> None:
    sent = host.command(
        "webhooks", "send", "--via", "stream", "--type", "never", "--data", "[1, 2]"
    )
    assert sent.returncode == 0, sent.stderr

    def dead() -> str | None:
        listed = host.command("dead", "list", "--json")
        return listed.stdout if "Payload must be an object" in listed.stdout else None

    assert eventually(dead, seconds=20)


def event(data: bytes, **given: str) -> Event[bytes]:
    return Event(topic="webhooks", data=data, **{"type": "a", "id": "1", **given})


def test_the_payload_keeps_its_bytes() -> None:
    assert bytes(message_of(event(b' { "a" : 1.0 } ')).payload) == b'{ "a" : 1.0 }'


@pytest.mark.parametrize(
    "unfit",
    [
        event(b"{"),
        event(b'{"a":' + b"[" * 100_000),
        event(b'{} {"x":1}'),
        event(b"{}", type="a b"),
        event(b"{}", id="x" * 300),
    ],
)
def test_what_does_not_fit_is_rejected(unfit: Event[bytes]) -> None:
    with pytest.raises(Rejected):
        message_of(unfit)


def test_an_event_is_known_by_its_source_and_id() -> None:
    """Two sources may use one id; an event that comes twice is one message."""
    plugins = ("webhooks-api", "webhooks-ingest")
    with open_host(plugins, settings={"webhooks-ingest": {"application": "app"}}) as host:
        applications.create(host.services, schemas.ApplicationIn(name="x", uid="app"))
        for source in ("/billing", "/shipping", "/billing", "/shipping"):
            host.publish(event(b'{"of":"%s"}' % source.encode(), id="100", source=source))
        host.drain()
        with host.services.database.session():
            kept = {bytes(each.payload): each.event_id for each in Message.select()}
    assert set(kept) == {b'{"of":"/billing"}', b'{"of":"/shipping"}'}
    assert kept[b'{"of":"/billing"}'] == "100"
    other = kept[b'{"of":"/shipping"}']
    assert other == event_id_with_source(event(b"", id="100", source="/shipping"))
    assert msgspec.convert(other, Name) == other
