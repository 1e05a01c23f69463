"""In which order a new version rolls out, and what forbids it."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec
import pytest
from rolehost.api import Event, Schedule, actor, handler
from rolehost.composition.manifest import MigrationEntry
from rolehost_fleet import status
from rolehost_fleet.ordering import Edge, ordered, roll_node
from rolehost_fleet.plan import make
from rolehost_fleet.queued import decoders, unreadable_events, unreadable_jobs

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("dramatiq"),
    pytest.mark.needs("cronsim"),
]


def an_actor(fn, queue="default", name="greet"):
    return actor(name=name, queue=queue)(fn)


def v1(job, name: str) -> None: ...


def with_default(job, name: str, times: int = 1) -> None: ...


def with_required(job, name: str, times: int) -> None: ...


def renamed(job, who: str) -> None: ...


def narrowed(job, name: datetime) -> None: ...


def narrower(job, name: int) -> None: ...


def wider(job, name: str | int) -> None: ...


def look(services, *expected, stream=None):
    return status.read(services.database, stream, time.time_ns() // 1_000_000, expected)


def steps(plan):
    return [step.text for step in plan.steps]


def codes(problems):
    return [problem.code for problem in problems]


def two(fleet, worker=None, **api):
    """A fleet of an api that enqueues and a worker that works."""
    made = [fleet.describe("api", **api)]
    if worker is not None:
        made.append(fleet.describe("worker", actors=[worker]))
    return made


def test_nothing_changes_between_a_fleet_and_itself(fleet):
    both = two(fleet, an_actor(v1), enqueues=("greet",))
    plan = make(both, both)
    assert (plan.changes, plan.steps, plan.errors, plan.warnings) == ((), (), (), ())


def test_the_worker_of_a_new_actor_goes_before_who_enqueues_it(fleet):
    old = [fleet.describe("api"), fleet.describe("worker")]
    plan = make(old, two(fleet, an_actor(v1), enqueues=("greet",)))
    assert steps(plan) == ["roll out worker", "roll out api"]
    assert plan.steps[0].why == ("before api: it has the workers of the new actor greet",)
    assert ("+", "actor", "greet") in [change[:3] for change in plan.changes]


def test_who_enqueues_a_removed_actor_goes_before_its_worker_and_the_backlog_between(any_fleet):
    old = two(any_fleet, an_actor(v1), enqueues=("greet",))
    new = [any_fleet.describe("api"), any_fleet.describe("worker")]
    composition = any_fleet.compose("app", actors=[an_actor(v1)], enqueues=("greet",))
    services = any_fleet.services(composition)
    plan = make(old, new, look(services))
    assert steps(plan) == [
        "roll out api",
        "wait until no jobs of greet are left (0 now)",
        "roll out worker",
    ]
    assert plan.errors == ()
    services.enqueue("greet", name="you")
    plan = make(old, new, look(services))
    assert codes(plan.errors) == ["backlog"]
    assert plan.errors[0].what == "greet is removed with 1 job of it in the backlog"
    assert make(old, new, look(services), accept=["actor greet"]).errors == ()
    assert codes(make(old, new).warnings) == ["backlog-unknown"]


def test_an_actor_that_is_still_enqueued_cannot_be_removed(fleet):
    old = two(fleet, an_actor(v1), enqueues=("greet",))
    plan = make(old, two(fleet, None, enqueues=("greet",)))
    assert "actor-without-worker" in codes(plan.errors)


def test_a_new_argument_with_a_default_rolls_out_with_the_worker_first(fleet):
    old = two(fleet, an_actor(v1), enqueues=("greet",))
    new = two(fleet, an_actor(with_default), enqueues=("greet",))
    new[0] = msgspec.structs.replace(new[0], version="2")  # the api changes too
    plan = make(old, new)
    assert steps(plan) == ["roll out worker", "roll out api"]
    assert plan.errors == plan.warnings == ()


def test_an_argument_that_goes_rolls_out_with_the_worker_last_and_the_backlog_between(any_fleet):
    old = two(any_fleet, an_actor(with_default), enqueues=("greet",))
    new = two(any_fleet, an_actor(v1), enqueues=("greet",))
    new[0] = msgspec.structs.replace(new[0], version="2")
    composition = any_fleet.compose("app", actors=[an_actor(with_default)], enqueues=("greet",))
    services = any_fleet.services(composition)
    services.enqueue("greet", name="fits")
    seen = look(services)
    tried = unreadable_jobs(services.database, new, decoders(new))
    plan = make(old, new, seen, tried)
    assert steps(plan) == [
        "roll out api",
        "wait until no jobs of greet in the old form are left (1 now)",
        "roll out worker",
    ]
    assert plan.errors == ()
    services.enqueue("greet", name="does not", times=3)
    for reading in (decoders(new), decoders(new, [{"greet": an_actor(v1)}])):
        tried = unreadable_jobs(services.database, new, reading)
        plan = make(old, new, look(services), tried)
        assert codes(plan.errors) == ["queued-unreadable"]
        assert plan.errors[0].what == (
            "the new version cannot decode 1 of 2 that are queued for greet"
        )
        assert "times" in plan.errors[0].got


def test_what_neither_side_of_a_rollout_reads_is_forbidden(fleet):
    old = two(fleet, an_actor(v1), enqueues=("greet",))
    for changed, words in (
        (with_required, "times is not given and is required"),
        (renamed, "name was renamed to who"),
        (narrower, "name must be integer, but may be string"),
    ):
        plan = make(old, two(fleet, an_actor(changed), enqueues=("greet",)))
        assert codes(plan.errors) == ["argument-incompatible"], changed
        assert words in plan.errors[0].what


def test_types_that_a_schema_cannot_tell_apart_are_worth_a_look(fleet):
    old = two(fleet, an_actor(v1), enqueues=("greet",))
    plan = make(old, two(fleet, an_actor(narrowed), enqueues=("greet",)))
    assert codes(plan.warnings) == ["argument-types"]
    assert "name: datetime.datetime" in plan.warnings[0].got


def test_in_one_deployment_a_wider_argument_asks_for_care_and_a_narrower_is_forbidden(fleet):
    def one(fn):
        return [fleet.describe("app", actors=[an_actor(fn)], enqueues=("greet",))]

    plan = make(one(v1), one(wider))
    assert codes(plan.warnings) == ["argument-overlap"]
    assert plan.errors == ()
    assert codes(make(one(wider), one(v1)).errors) == ["argument-incompatible"]


def test_an_actor_that_leaves_its_queue_leaves_no_job_behind(any_fleet):
    old = two(any_fleet, an_actor(v1), enqueues=("greet",))
    new = two(any_fleet, an_actor(v1, "fast"), enqueues=("greet",))
    composition = any_fleet.compose("app", actors=[an_actor(v1)], enqueues=("greet",))
    services = any_fleet.services(composition)
    services.enqueue("greet", name="you")
    plan = make(old, new, look(services))
    assert codes(plan.errors) == ["backlog"]
    assert plan.errors[0].what.startswith("greet moves from the queue default to fast")


class Order(msgspec.Struct):
    number: int


class NamedOrder(msgspec.Struct):
    number: int
    name: str


def a_handler(payload, group="mail"):
    @handler(name="mail", topic="orders", group=group, payload=payload)
    def mail(context, event) -> None: ...

    return mail


def test_a_group_with_unread_events_cannot_be_removed(fleet):
    composition = fleet.compose("api", publishes=("orders",))
    services = fleet.services(composition)
    reads = fleet.describe("reads", handlers=[a_handler(Order)])
    old = [fleet.describe("api", publishes=("orders",)), reads]
    new = [fleet.describe("api")]
    assert make(old, new, look(services, *old, stream=services.stream)).errors == ()
    from rolehost.storage import Record

    services.stream.publish([Record("orders", b'{"number": 1}')])
    plan = make(old, new, look(services, *old, stream=services.stream))
    assert codes(plan.errors) == ["backlog"]
    assert plan.errors[0].what == "the group mail is removed with 1 event of orders unread"
    assert steps(plan) == [
        "roll out api",
        "wait until no events of orders for mail are left (1 now)",
        "stop reads",
    ]


def test_a_renamed_group_begins_with_the_oldest_event(fleet):
    old = [fleet.describe("app", handlers=[a_handler(Order)], publishes=("orders",))]
    new = [fleet.describe("app", handlers=[a_handler(Order, "post")], publishes=("orders",))]
    assert "new-group" in codes(make(old, new).warnings)


def test_a_payload_that_cannot_be_read_is_forbidden_unless_nothing_is_unread(fleet):
    def version(payload):
        return [
            fleet.describe("api", publishes=("orders",), payloads={"orders": payload}),
            fleet.describe("reads", handlers=[a_handler(payload)]),
        ]

    plan = make(version(Order), version(NamedOrder))
    assert codes(plan.errors) == ["payload-incompatible"]
    assert "name is not given and is required" in plan.errors[0].what
    assert make(version(NamedOrder), version(Order)).errors == ()

    services = fleet.services(fleet.compose("api", publishes=("orders",)))
    services.publish(Event(topic="orders", type="made", data=Order(1)))
    (found,) = unreadable_events(services.database, version(NamedOrder))
    assert (found.name, found.failed, found.why) == ("orders/mail", 1, "name is missing")
    nobody = [fleet.describe("reads", handlers=[a_handler(Order)])]
    plan = make(version(Order), nobody, look(services, stream=services.stream))
    assert [problem.who for problem in plan.errors] == ["outbox"]


def test_a_schedule_goes_after_the_worker_of_its_actor(fleet):
    daily = Schedule(name="daily", actor="greet", arguments={"name": "x"}, cron="0 0 * * *")
    old = [fleet.describe("clock"), fleet.describe("worker")]
    new = [
        fleet.describe("clock", schedules=[daily], enqueues=("greet",)),
        fleet.describe("worker", actors=[an_actor(v1)]),
    ]
    assert steps(make(old, new)) == ["roll out worker", "roll out clock"]


def test_migrations_run_before_and_after_the_rest(fleet):
    old = [fleet.describe("app", actors=[an_actor(v1)])]
    more = (
        MigrationEntry("app", 1, "add", "pre"),
        MigrationEntry("app", 2, "drop", "post"),
        *old[0].migrations,
    )
    new = [msgspec.structs.replace(old[0], migrations=tuple(sorted(more)))]
    assert steps(make(old, new)) == [
        "rolehost migrate up -d FILE --phase pre, with the new version, before anything"
        " else: app/0001_add",
        "roll out app",
        "rolehost migrate up -d FILE --phase post, with the new version, when no old process runs"
        " any more: app/0002_drop",
    ]
    assert codes(make(new, old).warnings) == ["migrations-gone"]


def test_where_no_order_is_right_that_is_told(fleet):
    one = an_actor(v1, name="one")
    other = an_actor(v1, name="other")
    old = [fleet.describe("a"), fleet.describe("b")]
    new = [
        fleet.describe("a", actors=[one], enqueues=("other",)),
        fleet.describe("b", actors=[other], enqueues=("one",)),
    ]
    plan = make(old, new)
    assert codes(plan.errors) == ["no-order"]
    assert plan.errors[0].who == "deployments a, b"
    assert len(plan.steps) == 2


def test_the_order_keeps_every_edge_that_is_no_ring():
    a, b, c = roll_node("a"), roll_node("b"), roll_node("c")
    order, cycle = ordered([a, b, c], [Edge(c, b, "x"), Edge(b, a, "y")])
    assert (order, cycle) == ((c, b, a), ())
    order, cycle = ordered([a, b, c], [Edge(a, b, "x"), Edge(b, a, "y"), Edge(b, c, "z")])
    assert set(cycle) == {Edge(a, b, "x"), Edge(b, a, "y")}
    assert sorted(order) == [a, b, c]


def test_messages_of_an_ephemeral_actor_that_is_removed_are_told(fleet):
    @actor(name="ping", durable=False, queue="pings")
    def ping(services) -> None: ...

    composition = fleet.compose("app", actors=[ping], enqueues=("ping",))
    services = fleet.services(composition)
    services.send(ping)
    old = [fleet.describe("app", actors=[ping], enqueues=("ping",))]
    seen = status.read(
        services.database, None, 0, old, lambda name: services.queue.depth(f"{name}.ephemeral")
    )
    assert (seen.messages, seen.dead_messages) == ({"pings": 1}, None)
    plan = make(old, [fleet.describe("app")], seen)
    assert plan.errors[0].what == (
        "ping is removed with 1 message of the queue pings in the backlog"
    )


def test_an_actor_that_is_worked_outside_of_the_fleet_may_go(fleet):
    outside = '[fleet]\nexternal = ["actor:greet"]'
    old = two(fleet, an_actor(v1), enqueues=("greet",))
    new = [fleet.describe("api", outside, enqueues=("greet",)), fleet.describe("worker")]
    assert make(old, new).errors == ()
