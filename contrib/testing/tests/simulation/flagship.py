"""The flagship in a simulation: contrib/webhooks, with receivers that are simulated too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rolehost.storage import Record
from rolehost_testing.simulation import Client, Faults, Simulation
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender

APP = "/api/v1/app"
ENDPOINTS = ("orders", "ledger")
SETTINGS = {
    "webhooks-ingest": {"application": "shop"},
    "webhooks-delivery": {"schedule": [5.0, 60.0, 300.0, 1800.0, 7200.0]},
}
#: Attempts of one delivery: the first, and one after each pause of the schedule.
ATTEMPTS = 6


class Receivers:
    """The receivers: they answer, refuse, or die after they have read the request."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._got: Counter[tuple[str, str]] = world.notes.setdefault("got", Counter())
        self._sent: Counter[tuple[str, str]] = world.notes.setdefault("sent", Counter())

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Stand for :meth:`Sender.post`."""
        world, place = self._world, (url, headers["webhook-id"])
        world.pause("receiver.before")
        self._sent[place] += 1
        chance = 0.0 if world.calm else world.topics.shuffle.random()
        if chance > 0.8:
            return Answer(503, "later", 1)
        self._got[place] += 1
        world.pause("receiver.after")
        return Answer(0, "the connection broke", 1) if chance > 0.7 else Answer(200, "", 1)


def _ensure(client: Client) -> None:
    """Make the application and its endpoints, unless that is done."""
    if client.world.notes.get("ready"):
        return
    client.post(f"{APP}?get_if_exists=true", {"name": "Shop", "uid": "shop"})
    for name in ENDPOINTS:
        client.post(f"{APP}/shop/endpoint", {"url": f"https://{name}.example/", "uid": name})
    client.world.notes["ready"] = True


def send(client: Client) -> None:
    """Send a message, and again when there was no answer, under the same key."""
    _ensure(client)
    number = client.random.randrange(client.number, client.number + 2)
    answer = client.post(
        f"{APP}/shop/msg",
        {"eventType": "order.paid", "payload": {"number": number}},
        headers={"idempotency-key": f"message-{number}"},
    )
    if answer.status == 202:
        client.acknowledged("messages", (f"message-{number}", answer.json["id"]))


def ingest(client: Client) -> None:
    """Publish an event to the stream, as another service does."""
    _ensure(client)
    number = str(client.number)
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"event-{number}".encode()),
        ("ce_source", b"/shop"),
        ("ce_type", b"order.shipped"),
        ("content-type", b"application/json"),
    )
    topics = client.world.topics
    with topics.changed:
        topics.append([Record("webhooks", b'{"n":1}', number.encode(), headers)])
    client.acknowledged("events", f"event-{number}")


def resend(client: Client) -> None:
    """Send a message once more to an endpoint."""
    known = client.world.acknowledged.get("messages")
    if known:
        _, message = client.random.choice(known)
        client.post(f"{APP}/shop/msg/{message}/endpoint/orders/resend")


def one_message_for_a_key(world: Any) -> None:
    """A repeated request has the answer of the first."""
    by_key: dict[str, str] = {}
    for key, message in world.acknowledged.get("messages", ()):
        assert by_key.setdefault(key, message) == message, f"{key} is {message} and {by_key[key]}"


def success_was_seen(world: Any) -> None:
    """Deliveries with the status success have arrived at the receiver."""
    got = world.notes.get("got", {})
    for message, endpoint in world.rows(
        "SELECT d.message_id, e.url FROM webhooks_delivery d JOIN webhooks_endpoint e"
        " ON e.id = d.endpoint_id WHERE d.status = 0"
    ):
        assert got.get((endpoint, message)), f"{message} was never received by {endpoint}"


def everything_is_delivered(world: Any) -> None:
    """Every message that was acknowledged comes to every endpoint, or was tried to the end."""
    rows = {
        (message, url): (status, attempts)
        for message, url, status, attempts in world.rows(
            "SELECT d.message_id, e.url, d.status, d.attempts FROM webhooks_delivery d"
            " JOIN webhooks_endpoint e ON e.id = d.endpoint_id"
        )
    }
    urls = [url for (url,) in world.rows("SELECT url FROM webhooks_endpoint")]
    messages = {message for _, message in world.acknowledged.get("messages", ())}
    for event in world.acknowledged.get("events", ()):
        found = world.rows("SELECT id FROM webhooks_message WHERE event_id = ?", (event,))
        dead = world.rows("SELECT 1 FROM rolehost_dead_events WHERE event LIKE ?", (f"% {event}",))
        assert len(found) + len(dead) == 1, f"{event} is {len(found)} messages"
        messages.update(row[0] for row in found)
    for message in sorted(messages):
        for url in urls:
            if (message, url) not in rows:
                continue  # the endpoint is younger than the message
            status, attempts = rows[message, url]
            over = status == 0 or (status == 2 and attempts >= ATTEMPTS)
            assert over, f"{message} to {url}: status {status} after {attempts} attempts"


PLUGINS = ("webhooks-api", "webhooks-ingest", "webhooks-delivery")


def flagship(
    what: Sequence[Any] = PLUGINS, faults: Faults | None = None, *, grouped: bool = False
) -> Simulation:
    """Return the simulation, of the plugins in one deployment or in several."""
    return Simulation(
        what,
        actions=[send, ingest, resend],
        invariants=[one_message_for_a_key, success_was_seen],
        eventually=[everything_is_delivered],
        settings=SETTINGS,
        services={Sender: Receivers},
        faults=faults,
        act=0.06,
        # Its one schedule is the retention, once a day.
        replicas={"scheduler": 1},
        grouped=grouped,
    )
