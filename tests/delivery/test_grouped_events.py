"""Events of grouped handlers: members of a group, with their inbox marks."""

from __future__ import annotations

import pytest
from rolehost.api import StorageBusy, handler

from tests.delivery.test_events import deliver, handling, record_of
from tests.delivery.things import Thing, plain


@pytest.fixture
def deliveries(bench, things, services_of):
    """Return a function that handles events with a body: which are done, and the things."""
    bench.make_runtime(plain)
    records = {}

    def go(body, keys=(None,) * 4, again=(), **options):
        @handler(topic="things", group="g", grouped=True, **options)
        def on(context, event):
            body(context, int(event.data))

        for n, key in enumerate(keys):
            records.setdefault(n, record_of(bench, b"%d" % n, id=f"e{n}", key=key))
        at_work = handling(bench, services_of, on)
        some = [deliver(records[n], n) for n in (*range(len(keys)), *again)]
        return at_work.handle_group(some), things()

    return go


def write(context, n):
    with context.services.unit_of_work():
        Thing.create(id=str(n))


def test_members_share_a_commit_and_duplicates_are_dropped(bench, deliveries):
    order = []

    def body(context, n):
        with context.services.unit_of_work() as work:
            Thing.create(id=str(n))
            work.after_commit(lambda: order.append(f"committed {n}"))
        order.append(f"handled {n}")

    done, things = deliveries(body, (None,) * 2, again=(1,))
    assert done == [True] * 3
    assert things == ["0", "1"]
    assert order == ["handled 0", "handled 1", "committed 0", "committed 1"]
    assert bench.count("rolehost_inbox") == 2


def test_an_event_that_fails_is_left_to_be_handled_alone(bench, deliveries):
    def body(context, n):
        write(context, n)
        if n == 1:
            raise ValueError

    done, things = deliveries(body)
    assert done == [True, False, True, True]
    assert things == ["0", "2", "3"]
    assert bench.count("rolehost_inbox") == 3


def test_later_events_of_the_key_of_a_failed_one_wait_for_it(deliveries):
    calls = []

    def body(context, n):
        calls.append(n)
        write(context, n)
        if n == 1:
            raise ValueError

    done, things = deliveries(body, ("a", "b", "b", "a"))
    assert done == [True, False, False, True]
    assert things == ["0", "3"]
    assert calls == [0, 1, 3]


def test_a_deadlock_undoes_all(bench, deliveries):
    def body(context, n):
        write(context, n)
        if n == 2:
            raise StorageBusy("the transaction was in a deadlock with another one")

    done, things = deliveries(body)
    assert done == [False] * 4
    assert things == []
    assert bench.count("rolehost_inbox") == 0


def test_a_handler_is_grouped_or_gets_batches():
    with pytest.raises(ValueError, match="exclude each other"):
        handler(topic="t", group="g", batch=2, grouped=True)(lambda _context, _event: None)
    with pytest.raises(TypeError, match="True or False"):
        handler(topic="t", group="g", grouped="yes")(lambda _context, _event: None)
