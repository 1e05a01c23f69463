"""Four ways to send: entries and webhooks, each over REST and through Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rolehost.api import AnyEvent, Event, StorageUnavailable

from tests.proofs.disposable_load import AWAY, Entry, Way, post
from tests.proofs.receiver import Received, Receiver

#: Number of keys of each way; the entries of one key are ordered.
KEYS = 8
#: Number of clients that post entries.
SENDERS = 4
#: The status of a publication that Kafka has confirmed.
CONFIRMED = 202


class Entries:
    """Entries of the proof's plugins.

    Attributes:
        hold: run time in seconds of the jobs of new entries over REST.
    """

    def __init__(self, url: str, services: Any) -> None:
        self._url = f"{url}/entries"
        self._services = services
        self.hold = 0.0

    def ways(self, per_second: float) -> list[Way]:
        """Return the ways: over REST with an Idempotency-Key, half as many through Kafka."""
        # 409: the first attempt is still running. 503: the server cannot accept it now.
        return [
            Way("r", SENDERS, per_second, self._post, {201}, {AWAY, 409, 503}),
            Way("s", 1, per_second / 2, self._publish, {CONFIRMED}, {AWAY}),
        ]

    def _post(self, name: str, number: int) -> int:
        body = {"entry": name, "key": f"k{number % KEYS}", "hold": self.hold}
        return post(self._url, body, {"Idempotency-Key": name})

    def _publish(self, name: str, number: int) -> int:
        # One client, which waits for Kafka's confirmation, so that the keys are ordered.
        key = f"k{number % KEYS}"
        data = {"entry": name, "key": key, "seq": number // KEYS + 1}
        event = Event(topic="entries.incoming", type="entry", data=data, key=key)
        return published(self._services, event, name)


class Webhooks:
    """Messages of the webhooks plugins, delivered to a receiver that deduplicates."""

    def __init__(
        self, url: str, services: Any, receiver: Receiver, arrivals: Mapping[str, float]
    ) -> None:
        self._url = f"{url}/api/v1/app"
        self._services = services
        self._receiver = receiver
        self._arrivals = arrivals
        assert post(self._url, {"name": "proof", "uid": "proof"}) == 201
        assert post(f"{self._url}/proof/endpoint", {"url": receiver.url}) == 201

    def ways(self, per_second: float) -> list[Way]:
        """Return the ways: over REST, half as many through Kafka."""
        # 409: an earlier attempt was stored but its answer was lost.
        return [
            Way("h", 1, per_second, self._post, {202, 409}, {AWAY, 503}),
            Way("k", 1, per_second / 2, self._publish, {CONFIRMED}, {AWAY}),
        ]

    def _post(self, name: str, _number: int) -> int:
        body = {"eventType": "n", "eventId": name, "payload": {"name": name}}
        return post(f"{self._url}/proof/msg", body)

    def _publish(self, name: str, _number: int) -> int:
        event = Event(
            topic="webhooks",
            type="n",
            data={"name": name},
            key=name,
            extensions={"webhooksapp": "proof"},
        )
        return published(self._services, event, name)

    def audit(self, entries: Iterable[Entry]) -> dict[str, int]:
        """Return the errors: lost messages, and messages that were delivered under two ids."""
        names = {each.name for each in entries if each.name[0] in "hk"}
        delivered = [name_of(each) for each in self._receiver.ledger.values()]
        return {
            "webhooks_lost": len(names - set(delivered)),
            "webhooks_double": len(delivered) - len(set(delivered)),
        }

    def wait(self, entries: Iterable[Entry], seconds: float) -> list[str]:
        """Wait until all entries that are messages are delivered; return the others."""
        names = {each.name for each in entries if each.name[0] in "hk" and each.acknowledged}
        self._receiver.wait(lambda: names <= self._arrivals.keys(), seconds)
        return sorted(name for name in names if name not in self._arrivals)


class Arrivals:
    """The time of each message's first delivery; used as the receiver's check."""

    def __init__(self) -> None:
        #: Name → seconds since the epoch.
        self.first: dict[str, float] = {}

    def __call__(self, received: Received) -> None:
        """Record a delivery."""
        self.first.setdefault(name_of(received), time.time())


def name_of(received: Received) -> str:
    """Return the name of the message in a delivery."""
    name: str = json.loads(received.body)["name"]
    return name


def published(services: Any, event: AnyEvent, name: str) -> int:
    """Publish an event to Kafka as another program does, with its name as id; return a status."""
    from rolehost.delivery import envelope

    now = int(time.time() * 1000)
    record = envelope.to_record(event, event_id=name, source="proof", now=now)
    try:
        services.stream.publish([record])
    except StorageUnavailable:
        return AWAY
    return CONFIRMED
