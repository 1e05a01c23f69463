"""Example plugins, each with an error that tests without concurrency do not find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rolehost.api import Actor, RetryPolicy, Unique
from rolehost.storage import Record
from rolehost_testing.simulation import Client, SimulatedWorld

from contrib.testing.tests.simulation.shop import (
    QUICK,
    STOCK,
    Bank,
    Memory,
    Variant,
    actor,
    all_booked,
    book,
    booked_once,
    enqueue,
    event,
    handler,
    orders_are,
    write,
)


def effect_outside_the_unit_of_work(*, right: bool) -> Variant:
    """A job writes in a separate transaction, which commits without the job's completion."""

    def entry(job: Any, order: int) -> None:
        if right:
            with job.services.unit_of_work() as work:
                book(work, order)
        else:
            with job.services.database.transaction() as transaction:
                transaction.execute("INSERT INTO shop_entry (ref) VALUES (?)", (str(order),))

    part = actor(entry)
    return Variant(
        parts=[part],
        actions=[enqueue(part)],
        invariants=[booked_once],
        eventually=[all_booked],
    )


def handler_outside_the_unit_of_work(*, right: bool) -> Variant:
    """A handler writes in a separate transaction, without the inbox mark against duplicates."""

    def announced(context: Any, given: Any) -> None:
        if right:
            with context.services.unit_of_work() as work:
                book(work, given.data.order)
        else:
            with context.services.database.transaction() as transaction:
                transaction.execute(
                    "INSERT INTO shop_entry (ref) VALUES (?)", (str(given.data.order),)
                )

    def order(client: Client) -> None:
        client.services.publish(event("placed", client.number, str(client.number)))
        client.acknowledged("orders", client.number)

    return Variant(
        parts=[handler(announced)],
        actions=[order],
        invariants=[booked_once],
        eventually=[all_booked],
    )


def call_that_is_not_idempotent(*, right: bool) -> Variant:
    """A job sends a request without an idempotency key to another server."""

    def charge(job: Any, order: int) -> None:
        job.services.get(Bank).charge(order, f"order-{order}" if right else None)

    def charged_once(world: SimulatedWorld) -> None:
        for order, times in world.notes.get("charged", {}).items():
            assert times == 1, f"order {order} was charged {times} times"

    part = actor(charge)
    return Variant(parts=[part], actions=[enqueue(part)], invariants=[charged_once])


def lost_update(*, right: bool) -> Variant:
    """A job reads in one transaction, computes, and writes the result in another one."""

    def reserve(job: Any, order: int) -> None:
        services = job.services
        ((remaining,),) = services.database.read("SELECT remaining FROM shop_stock WHERE id = 1")
        with services.unit_of_work() as work:
            if right:
                write(work, "UPDATE shop_stock SET remaining = remaining - 1 WHERE id = 1")
            else:
                write(work, "UPDATE shop_stock SET remaining = ? WHERE id = 1", remaining - 1)
            book(work, order)

    def stock_is_right(world: SimulatedWorld) -> None:
        ((remaining, taken),) = world.rows(
            "SELECT remaining, (SELECT count(*) FROM shop_entry) FROM shop_stock"
        )
        assert remaining == STOCK - taken, f"{remaining} remain of {STOCK} after {taken}"

    part = actor(reserve)
    return Variant(parts=[part], actions=[enqueue(part)], invariants=[stock_is_right])


def order_across_keys(*, right: bool) -> Variant:
    """Two events that belong together have different keys, and come in either order."""

    def announced(context: Any, given: Any) -> None:
        with context.services.unit_of_work() as work:
            if given.type == "placed":
                write(work, "INSERT INTO shop_order VALUES (?, 'placed')", given.data.order)
            else:
                # Nothing is there to change when this came first.
                write(work, "UPDATE shop_order SET state = 'paid' WHERE id = ?", given.data.order)

    def buy(client: Client) -> None:
        number = client.number
        with client.services.unit_of_work() as work:
            work.publish(event("placed", number, f"order-{number}"))
            work.publish(event("paid", number, f"{'order' if right else 'customer'}-{number}"))

    return Variant(parts=[handler(announced)], actions=[buy], eventually=[orders_are("paid")])


def state_in_memory(*, right: bool) -> Variant:
    """A process collects rows in its memory and writes them later."""

    def collect(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            if right:
                book(work, order)
                return
            gathered = job.services.get(Memory).orders
            gathered.append(order)
            if len(gathered) == 2:
                for each in gathered:
                    book(work, each)
                gathered.clear()

    def few_missing(world: SimulatedWorld) -> None:
        there = {ref for (ref,) in world.rows("SELECT ref FROM shop_entry")}
        missing = [each for each in world.acknowledged.get("orders", ()) if str(each) not in there]
        # Each of two workers may still have one in its hands.
        assert len(missing) <= 2, f"{len(missing)} orders have no entry"

    part = actor(collect)
    return Variant(parts=[part], actions=[enqueue(part)], eventually=[few_missing])


def trust_in_time(*, right: bool) -> Variant:
    """A payment takes for granted that it comes before the reservation ends."""

    def hold(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            write(work, "INSERT INTO shop_order VALUES (?, 'held')", order)
            write(work, "UPDATE shop_stock SET remaining = remaining - 1 WHERE id = 1")
            work.enqueue(ending, order=order, delay=20.0)
            work.enqueue(paying, order=order)

    def end(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            if write(
                work, "UPDATE shop_order SET state = 'ended' WHERE id = ? AND state = 'held'", order
            ):
                write(work, "UPDATE shop_stock SET remaining = remaining + 1 WHERE id = 1")

    def pay(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            only = " AND state = 'held'" if right else ""
            write(work, f"UPDATE shop_order SET state = 'paid' WHERE id = ?{only}", order)

    def stock_is_right(world: SimulatedWorld) -> None:
        ((remaining, sold),) = world.rows(
            "SELECT remaining, (SELECT count(*) FROM shop_order WHERE state IN ('held', 'paid'))"
            " FROM shop_stock"
        )
        assert remaining + sold == STOCK, f"{remaining} remain of {STOCK}, {sold} are sold"

    holding, ending, paying = actor(hold), actor(end), actor(pay)
    return Variant(
        parts=[holding, ending, paying], actions=[enqueue(holding)], invariants=[stock_is_right]
    )


def write_twice(*, right: bool) -> Variant:
    """An order and its job are written in two units of work."""

    def finish(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            write(work, "UPDATE shop_order SET state = 'done' WHERE id = ?", order)

    part = actor(finish)

    def order(client: Client) -> None:
        services = client.services
        with services.unit_of_work() as work:
            write(work, "INSERT INTO shop_order VALUES (?, 'new')", client.number)
            if right:
                work.enqueue(part, order=client.number)
        if not right:
            services.enqueue(part, order=client.number)

    return Variant(parts=[part], actions=[order], eventually=[orders_are("done")])


def enqueue_after_the_commit(*, right: bool) -> Variant:
    """A required next step is done in an after-commit callback, which a crash skips."""

    def finish(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            write(work, "UPDATE shop_order SET state = 'done' WHERE id = ?", order)

    def start(job: Any, order: int) -> None:
        with job.services.unit_of_work() as work:
            write(work, "INSERT INTO shop_order VALUES (?, 'new')", order)
            if right:
                work.enqueue(finishing, order=order)
            else:
                work.after_commit(lambda: _enqueue_apart(job.services, finishing, order))

    starting, finishing = actor(start), actor(finish)
    return Variant(
        parts=[starting, finishing],
        actions=[enqueue(starting)],
        eventually=[orders_are("done")],
    )


def _enqueue_apart(services: Any, part: Actor, order: int) -> None:
    with services.delivery.database.transaction() as transaction:
        target = services.delivery.target(part)
        now = services.clock.now()
        services.delivery.ledger.insert_many(
            transaction,
            [
                (
                    target.queue, target.name, "available", 0, now,
                    target.encode({"order": order}), None, None, now, None,
                )
            ],
        )  # fmt: skip


def poison(*, right: bool) -> Variant:
    """A job that can never succeed is tried for ever."""
    policy = QUICK if right else RetryPolicy(attempts=1_000_000, base=0.1, max_delay=1.0)

    def parse(job: Any, order: int) -> None:
        raise ValueError(f"order {order} cannot be read")

    part = actor(parse, policy)
    return Variant(parts=[part], actions=[enqueue(part)])


def not_unique(*, right: bool) -> Variant:
    """Every request for the report starts another job."""

    def report(job: Any) -> None:
        with job.services.unit_of_work() as work:
            book(work, f"report {job.id}")

    def ask(client: Client) -> None:
        unique = Unique("report", until="ended") if right else None
        client.services.enqueue(part, unique=unique)

    def one_at_a_time(world: SimulatedWorld) -> bool:
        rows = world.rows(
            "SELECT count(*) FROM rolehost_jobs WHERE state NOT IN"
            " ('completed', 'dead', 'cancelled')"
        )
        return bool(rows[0][0] <= 1)

    part = actor(report)
    return Variant(parts=[part], actions=[ask], invariants=[one_at_a_time])


def look_then_act(*, right: bool) -> Variant:
    """A row is inserted because a look, before the unit of work, found none."""

    def register(client: Client) -> None:
        name = f"customer {client.random.randrange(3)}"
        services = client.services
        found = services.database.read("SELECT 1 FROM shop_entry WHERE ref = ?", (name,))
        if found:
            return
        with services.unit_of_work() as work:
            again = "SELECT 1 FROM shop_entry WHERE ref = ?"
            if not right or not work.transaction.execute(again, (name,)).fetchone():
                book(work, name)

    return Variant(parts=[], actions=[register], invariants=[booked_once])


def event_before_the_commit(*, right: bool) -> Variant:
    """An event is published to the stream before its rows are committed."""

    def announced(context: Any, given: Any) -> None:
        order, services = given.data.order, context.services
        if not services.database.read("SELECT 1 FROM shop_order WHERE id = ?", (order,)):
            return  # removed meanwhile, so there is nothing to do
        with services.unit_of_work() as work:
            write(work, "UPDATE shop_order SET state = 'announced' WHERE id = ?", order)

    def order(client: Client) -> None:
        number, services = client.number, client.services
        with services.unit_of_work() as work:
            write(work, "INSERT INTO shop_order VALUES (?, 'new')", number)
            if right:
                work.publish(event("placed", number, str(number)))
            else:
                headers = (("ce_id", b"%d" % number), ("ce_source", b"/shop"), ("ce_type", b"x"))
                record = Record("shop", b'{"order":%d}' % number, b"%d" % number, headers)
                services.stream.publish([record])
                client.world.pause("order.checked")

    return Variant(
        parts=[handler(announced)], actions=[order], eventually=[orders_are("announced")]
    )


FAULTY_PLUGINS: tuple[Callable[..., Variant], ...] = (
    effect_outside_the_unit_of_work,
    handler_outside_the_unit_of_work,
    call_that_is_not_idempotent,
    lost_update,
    order_across_keys,
    state_in_memory,
    trust_in_time,
    write_twice,
    enqueue_after_the_commit,
    poison,
    not_unique,
    look_then_act,
    event_before_the_commit,
)
