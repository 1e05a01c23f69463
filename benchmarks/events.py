"""Events on Apache Kafka: the consumer role, a bare loop of the same client, and FastStream.

One process reads a topic that was filled before, with a new group in each round. The cases are:
*nothing done*: both sides decode and count the payload. *One row each*: both sides commit a row
and the inbox entry together for each event. The bare loop does this sequentially; the role uses
its threads. The bare loop commits its offsets once for each poll of up to 500 records.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from rolehost_testing import services

from benchmarks.children import Child, figures
from benchmarks.deployments import Place, migrate, place
from benchmarks.model import Bench, Figure, Goal, Unmeasured
from benchmarks.pairs import Rounds, Side, interleave
from benchmarks.programs.events_plugin import BATCH, GROUP, TOPIC
from benchmarks.tally import Tally

#: Events of one round: nothing done, one row each, one row each in batches, published.
PLAIN, EACH, MANY, PUBLISHED = 20_000, 4000, 40_000, 20_000
#: Partitions of a topic, and keys of its events.
PARTITIONS, KEYS = 4, 1000
#: The rate excludes the first tenth of the events: after it the process has joined the group.
WARM = 0.1

CLIENTS = ("kafka-python", "confluent")

_NEAR = Goal(least=0.95)
#: librdkafka parses records in threads without the interpreter lock, so the rest weighs more.
_PLAIN = {"kafka-python": _NEAR, "confluent": Goal(least=0.8)}

#: The figures of each client: the pair, a description, the goal.
_SHOWN: tuple[tuple[str, str, Goal | None], ...] = (
    ("plain", "events handled, nothing done, beside a bare loop", None),
    ("each", "events handled, one row each, beside a bare loop", _NEAR),
    ("batch", "events in batches, one row each, beside singly", Goal(least=10)),
    ("faststream", "events handled, nothing done, beside FastStream", None),
    ("published", "events published, 500 a call, beside the producer alone", None),
)


def run(bench: Bench) -> list[Figure]:
    """Measure each pair with each client in turns, on separate servers."""
    found = []
    with _runs(bench) as runs:
        for client in CLIENTS:
            for name, (ours, bare) in runs.pairs(client).items():
                rounds = interleave(
                    ours, bare,
                    rounds=bench.rounds,
                    step=bench.begin(bench.rounds, f"events: {client}, {name}"),
                    patience=bench.patience,
                )  # fmt: skip
                found.append(_figure(client, name, rounds))
    return found


def _figure(client: str, name: str, rounds: Rounds) -> Figure:
    what, goal = next((what, goal) for pair, what, goal in _SHOWN if pair == name)
    return Figure(
        benchmark="events",
        what=f"{client}: {what}",
        unit="/s",
        ours=rounds.ours["rate"],
        bare=rounds.bare["rate"],
        quiet=rounds.quiet,
        goal=_PLAIN[client] if name == "plain" else goal,
    )


@contextmanager
def _runs(bench: Bench) -> Iterator[_Runs]:
    try:
        with services.start("kafka") as kafka, services.start("postgres") as postgres:
            runs = _Runs(bench, kafka.url.removeprefix("kafka://"), postgres.url)
            runs.fill()
            yield runs
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing


class _Runs:
    """Runs programs on the engines."""

    def __init__(self, bench: Bench, servers: str, postgres: str) -> None:
        self._bench = bench
        self._servers = servers
        self._admin = postgres
        self._postgres = urlunsplit(urlsplit(postgres)._replace(path="/bench_events"))
        self._number = itertools.count()
        self._sizes = {
            "plain": bench.scaled(PLAIN, PLAIN // 10),
            "each": bench.scaled(EACH, EACH // 10),
            "many": bench.scaled(MANY, MANY // 10),
        }

    def pairs(self, client: str) -> dict[str, tuple[Side, Side]]:
        """Return the sides by the name of the measurement."""
        plain = self._host(client, "plain", "plain")
        each = self._host(client, "each", "each")
        return {
            "plain": (plain, self._bare(client, "plain")),
            "each": (each, self._bare(client, "each")),
            "batch": (self._host(client, "many", "many"), each),
            "faststream": (plain, self._faststream(client)),
            "published": (self._publish(client, True), self._publish(client, False)),
        }

    def fill(self) -> None:
        """Fill the topics and create a database."""
        execute(self._admin, "CREATE DATABASE bench_events")
        migrate(self._place("kafka-python", "plain", "plain"))
        execute(self._postgres, "CREATE TABLE effects (id BIGINT GENERATED ALWAYS AS IDENTITY"
                                " PRIMARY KEY, number BIGINT NOT NULL)")  # fmt: skip
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self._servers})
        topics = [NewTopic(topic, PARTITIONS, 1) for topic in (*self._sizes, "published")]
        for future in admin.create_topics(topics).values():
            future.result(30)
        producer = Producer({"bootstrap.servers": self._servers, "linger.ms": 50})
        for topic, size in self._sizes.items():
            for number in range(size):
                value = b'{"number":%d,"customer":"customer-%d","total":%d.5}'
                producer.produce(
                    topic,
                    value % (number, number % KEYS, number),
                    b"key-%d" % (number % KEYS),
                    headers=_headers(topic, number),
                )
                producer.poll(0)
            producer.flush()

    def _host(self, client: str, topic: str, plugin: str) -> Side:
        def measure() -> dict[str, float]:
            made = self._place(client, topic, plugin)
            arguments = ["benchmarks.programs.host_events", "drain", str(made.file)]
            return self._drain(arguments, [], made, topic)

        return measure

    def _bare(self, client: str, topic: str) -> Side:
        def measure() -> dict[str, float]:
            made = self._place(client, topic, topic)
            where = [client, self._servers, topic, made.env[GROUP]]
            arguments = ["benchmarks.programs.bare_kafka", "drain", topic, *where]
            return self._drain(arguments, [self._postgres], made, topic)

        return measure

    def _faststream(self, client: str) -> Side:
        def measure() -> dict[str, float]:
            made = self._place(client, "plain", "plain")
            arguments = ["benchmarks.programs.faststream_kafka", client, self._servers]
            return self._drain([*arguments, "plain", made.env[GROUP]], [], made, "plain")

        return measure

    def _publish(self, client: str, ours: bool) -> Side:
        count = str(self._bench.scaled(PUBLISHED, PUBLISHED // 10))

        def measure() -> dict[str, float]:
            made = self._place(client, "plain", "plain")
            program = "host_events" if ours else "bare_kafka"
            where = [str(made.file)] if ours else [client, self._servers]
            arguments = ["publish", *where, "published", count, str(BATCH)]
            return {"rate": figures(program, arguments, made.folder, made.env)["published"]}

        return measure

    def _place(self, client: str, topic: str, plugin: str) -> Place:
        number = next(self._number)
        made = place(
            self._bench.folder / f"events-{number}",
            {"bench-events": f"benchmarks.programs.events_plugin:{plugin}"},
            ["postgres", "kafka"],
            postgres={"url": self._postgres},
            kafka={"client": client, "servers": self._servers.split(",")},
            log={"level": "warning"},
        )
        env = {**made.env, TOPIC: topic, GROUP: f"group-{number}"}
        return Place(made.folder, made.file, env)

    def _drain(
        self, program: list[str], rest: list[str], made: Place, topic: str
    ) -> dict[str, float]:
        """Let a program handle the whole topic; return events per second."""
        # Also remove the traces of earlier rounds: their killed processes would make the host treat
        # the next events as possible poison messages.
        execute(
            self._postgres,
            "TRUNCATE effects, rolehost_inbox, rolehost_started_events, rolehost_leases,"
            " rolehost_processes",
        )
        count, path = self._sizes[topic], made.folder / "tally"
        tally = Tally(path)
        with ExitStack() as stack:
            child = Child(["-m", *program, str(path), *rest], made.folder, made.env)
            stack.callback(child.stop)
            try:
                tally.await_ready(1)
                tally.begin()
                tally.await_total(int(count * WARM))
                first, began = tally.total, time.perf_counter()
                tally.await_total(count)
            except Unmeasured as error:
                raise child.failure(f"{error}; {tally.total} of {count}") from error
            return {"rate": (count - first) / (time.perf_counter() - began)}


def _headers(topic: str, number: int) -> list[tuple[str, bytes]]:
    """Return the headers that the host gives an event."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%s-%d" % (topic.encode(), number)),
        ("ce_source", b"rolehost/bench"),
        ("ce_type", b"order.placed"),
        ("ce_time", b"2026-11-22T12:00:00.000000Z"),
        ("content-type", b"application/json"),
    ]


def execute(url: str, sql: str) -> None:
    """Run one statement outside any transaction."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
