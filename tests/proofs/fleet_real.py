"""Four deployments on real engines: each message arrives once; other clients can use Kafka."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

from rolehost.api import Event

from tests.proofs import kcat, octokit
from tests.proofs.deployed import Deployed, Fleet, client_services, fleet
from tests.proofs.engines import own_engines
from tests.proofs.kit import Figures, Options
from tests.proofs.receiver import Receiver
from tests.proofs.running import eventually

PROMISE = (
    "The deployments api, worker, events and scheduler run as separate process trees on"
    " PostgreSQL, Redis, memcached and Apache Kafka: the 329 payloads of the proof octokit and"
    " 20,000 generated events, through REST and Kafka, each arrive once, verified. kcat, a Kafka"
    " client, reads our events and the outcome of every delivery, and events that it writes are"
    " delivered"
)
DURATION = "about 5 min"

#: Generated events of a full and of a short run; half of them go through REST.
FULL, SHORT = 20_000, 1_000
#: Number of HTTP connections that post.
SENDERS = 6
#: Number of messages that kcat writes.
WRITTEN = 10
#: Events published in one unit of work.
TOGETHER = 100
#: Timeout in seconds, after the last acknowledgement, for all deliveries.
PATIENCE = 600.0

#: The default topic of webhooks-ingest.
TOPIC = "webhooks"
#: The topic for the outcome of each delivery.
OUTCOMES = "webhooks-outcomes"
WORDS = ("order", "paid", "Grüße", "発送", "🚚", "refund", 'quoted "text"', "back\\slash")


def prove(options: Options) -> Figures:
    """Send the payloads and the generated events both ways; then let kcat read and write."""
    kcat.program()
    examples = list(octokit.payloads())
    count = SHORT if options.short else FULL
    with own_engines() as engines, fleet(engines, outcomes=OUTCOMES) as running:
        # A program of the fleet publishes events: it uses the deployment that has a stream.
        deployed = Deployed(running.events.path, running.api.url, running.api.host)
        with ThreadPoolExecutor(2) as both:
            ways = [
                both.submit(way, deployed, examples, options)
                for way in (octokit.over_rest, octokit.through_stream)
            ]
        rest, stream = (way.result() for way in ways)
        generated = Generated(deployed, count, random.Random(options.seed), options)
        figures = generated.run()
        foreign = other_client(deployed, engines.kafka)
        reported = outcomes(engines.kafka, 2 * len(examples) + count + WRITTEN, generated.delivered)
        assert_alive(running)
    return {
        "payloads": len(examples),
        "rest_verified": rest["verified"],
        "stream_verified": stream["verified"],
        **figures,
        **foreign,
        "outcomes_read_by_kcat": reported,
    }


class Generated:
    """Events with unique payloads, half through REST and half through Kafka, concurrently.

    Args:
        deployed: the API's URL and the deployment file with a stream.
        count: number of events.
        source: random source of the payloads.
        options: the options of the run.
    """

    def __init__(
        self, deployed: Deployed, count: int, source: random.Random, options: Options
    ) -> None:
        self._deployed = deployed
        self._task = options.progress(count, "generated")
        bodies = [payload(number, source) for number in range(count)]
        self._over_rest, self._through_kafka = bodies[::2], bodies[1::2]
        #: Message id → the sent bytes; the ids of messages through the stream are not known here.
        self._by_id: dict[str, bytes] = {}
        #: Ids of all received messages.
        self.delivered: frozenset[str] = frozenset()

    def run(self) -> Figures:
        """Send all events, wait, and compare the ledger with the sent events."""
        client = octokit.svix_client(self._deployed)
        count = len(self._over_rest) + len(self._through_kafka)
        with octokit.subscribed(self._deployed, client, "generated") as receiver:
            began = time.monotonic()
            publishing = _Thread(self._publish)
            self._post()
            posted = time.monotonic() - began
            published = publishing.join() - began
            everything = receiver.wait(
                lambda: len(receiver.ledger) >= count or bool(receiver.refused), PATIENCE
            )
            seconds = time.monotonic() - began
            assert everything, f"{len(receiver.ledger)} of {count} arrived"
            self._compare(receiver)
        return {
            "generated": count,
            "arrived": len(receiver.ledger),
            "verified": len(receiver.ledger),
            "lost": 0,
            "double_effects": 0,
            "wire_duplicates": sum(receiver.wire.values()) - len(receiver.ledger),
            "rest_accepted_per_second": round(len(self._over_rest) / posted),
            "published_per_second": round(len(self._through_kafka) / published),
            "delivered_per_second": round(count / seconds),
            "seconds": round(seconds, 1),
        }

    def _post(self) -> None:
        share = [self._over_rest[number::SENDERS] for number in range(SENDERS)]
        with ThreadPoolExecutor(SENDERS) as senders:
            for acknowledged in senders.map(self._post_all, share):
                self._by_id |= acknowledged

    def _post_all(self, bodies: list[bytes]) -> dict[str, bytes]:
        """Post over one connection; return the sent bytes by the id in the answer."""
        where = urlsplit(self._deployed.url)
        assert where.hostname is not None
        connection = HTTPConnection(where.hostname, where.port, timeout=60)
        sent = {}
        for body in bodies:
            request = b'{"eventType":"generated","payload":%s}' % body
            connection.request(
                "POST",
                "/api/v1/app/generated/msg",
                request,
                {"Content-Type": "application/json", "Authorization": "Bearer token"},
            )
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 202, f"{answer.status}: {content[:300]!r}"
            sent[json.loads(content)["id"]] = body
            self._task.advance(1)
        connection.close()
        return sent

    def _publish(self) -> None:
        with client_services(self._deployed.path) as services:
            for first in range(0, len(self._through_kafka), TOGETHER):
                some = self._through_kafka[first : first + TOGETHER]
                with services.unit_of_work() as work:
                    for body in some:
                        work.publish(
                            Event(
                                topic=TOPIC,
                                type="generated",
                                data=body,
                                key=str(len(body) % 100),
                                extensions={"webhooksapp": "generated"},
                            )
                        )
                self._task.advance(len(some))

    def _compare(self, receiver: Receiver) -> None:
        """Assert that each id and each payload arrived once and that all bytes are unchanged."""
        assert not receiver.refused, receiver.refused[:3]
        arrived = {name: received.body for name, received in receiver.ledger.items()}
        self.delivered = frozenset(arrived)
        wrong = [name for name, body in self._by_id.items() if arrived.get(name) != body]
        assert not wrong, f"{len(wrong)} messages of REST are missing or changed: {wrong[:5]}"
        rest = sorted(body for name, body in arrived.items() if name not in self._by_id)
        assert rest == sorted(self._through_kafka), (
            f"{len(set(self._through_kafka) - set(rest))} events lost,"
            f" {len(rest) - len(set(rest))} delivered under two ids"
        )


class _Thread:
    """A function in a background thread; ``join`` raises its exception."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(self._timed, function)

    @staticmethod
    def _timed(function: Callable[[], None]) -> float:
        function()
        return time.monotonic()

    def join(self) -> float:
        """Wait for the end and return its time."""
        with self._pool:
            return self._future.result()


def payload(number: int, source: random.Random) -> bytes:
    """Return a unique JSON object: 50 bytes to 4 kB, in several alphabets."""
    words = source.choices(WORDS, k=source.choice((1, 5, 20, 300)))
    body = {"n": number, "words": words, "amount": source.random()}
    return json.dumps(body, ensure_ascii=source.random() < 0.5).encode()


def other_client(deployed: Deployed, servers: str) -> Figures:
    """Let kcat read the published events and write events that must be delivered."""
    found = kcat.read(servers, TOPIC)
    assert found, "kcat reads nothing"
    for record in found:
        headers = record.headers
        assert headers["ce_specversion"] == "1.0", headers
        assert headers["content-type"] == "application/json", headers
        assert headers["ce_id"], headers
        assert headers["ce_source"].startswith("/"), headers
        json.loads(record.value)
    names = dict(_github(found))
    sent = {
        f"octokit-{number}": json.dumps(example, ensure_ascii=number % 2 == 0).encode()
        for number, (_, example) in enumerate(octokit.payloads())
    }
    assert names == sent, f"{len(names)} of {len(sent)} payloads as kcat reads them"
    client = octokit.svix_client(deployed)
    bodies = {
        f"kcat-{number}": json.dumps({"from": "kcat ✓", "n": number}, ensure_ascii=False).encode()
        for number in range(WRITTEN)
    }
    with octokit.subscribed(deployed, client, "kcat") as receiver:
        for name, body in bodies.items():
            headers = {
                "ce_specversion": "1.0",
                "ce_id": name,
                "ce_source": "/kcat",
                "ce_type": "kcat.said",
                "ce_webhooksapp": "kcat",
                "content-type": "application/json",
            }
            kcat.write(servers, TOPIC, "kcat", headers, body)
        receiver.wait(lambda: len(receiver.ledger) >= len(bodies), PATIENCE)
        wanted = {client.message.get("kcat", name).id: body for name, body in bodies.items()}
        arrived = {name: received.body for name, received in receiver.ledger.items()}
        assert arrived == wanted, f"{arrived} instead of {wanted}; refused: {receiver.refused}"
    return {"read_by_kcat": len(found), "written_by_kcat": len(bodies)}


def _github(records: list[kcat.Read]) -> Iterator[tuple[str, bytes]]:
    for record in records:
        if record.headers["ce_type"].startswith("github."):
            yield record.headers["ce_id"], record.value


def outcomes(servers: str, count: int, generated: frozenset[str]) -> int:
    """Let kcat read the outcomes: there is one for each delivery, and all succeeded."""
    found = eventually(
        lambda: kcat.read(servers, OUTCOMES), lambda records: len(records) >= count, seconds=60
    )
    kinds = Counter(record.headers["ce_type"] for record in found)
    assert kinds == {"message.attempt.succeeded": count}, f"{kinds} of {count}"
    reported = Counter(json.loads(record.value)["msgId"] for record in found)
    assert len(reported) == count, f"{count - len(reported)} are reported twice"
    assert reported.keys() >= generated, f"{len(generated - reported.keys())} are not reported"
    return len(found)


def assert_alive(running: Fleet) -> None:
    """Assert that no supervisor restarted a process."""
    for member in running:
        again = [line for line in member.host.output.splitlines() if "restarting in" in line]
        assert not again, again
