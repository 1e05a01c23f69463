"""A host that fails or dies at a failpoint, and restarts with the durable state."""

from __future__ import annotations

import pytest
from rolehost import failpoints
from rolehost_testing.kit import HostDown

from contrib.testing.tests.kit import shop


def order(here, **options):
    return here.client.post("/orders", json={"item": "pear", "count": 5}, **options)


def settled(here):
    """Whether an order has been mailed and taken from the stock, once each."""
    here.drain()
    row = shop.Order.get()
    return (row.stamped, row.count, shop.Order.select().count()) == (1, 4, 1)


@pytest.mark.parametrize("point", ["outbox.after_commit", "work.after_commit"])
def test_committed_work_survives_a_crash_before_the_wake_up(open_shop, point):
    here = open_shop()
    with here.fail_at(point, kill=True) as failure:
        order(here)
        pytest.fail("never reached")
    assert (failure.reached, failure.failed) == (1, 1)
    with pytest.raises(HostDown):
        here.client.get("/orders")
    with pytest.raises(HostDown):
        here.drain()
    here.assert_enqueued(shop.mail)
    here.restart()
    assert settled(here)


def test_uncommitted_work_is_lost_in_a_crash(open_shop):
    here = open_shop()
    with here.fail_at("work.before_commit", kill=True):
        order(here)
    here.restart()
    assert (here.drain(), here.enqueued, here.published) == ([], [], [])
    assert shop.Order.select().count() == 0


@pytest.mark.parametrize(
    "point",
    [
        "ledger.after_claim",
        "runner.before_actor",
        "runner.after_actor",
        "ledger.before_complete",
        "outbox.before_relay",
        "relay.after_send",
        "inbox.after_mark",
        "consumer.before_offsets",
        "consumer.after_offsets",
        "lease.after_acquire",
    ],
)
def test_effects_happen_once_wherever_the_host_dies_in_a_drain(open_shop, point):
    here = open_shop()
    order(here)
    with here.fail_at(point, kill=True):
        here.drain()
    here.restart()
    assert settled(here)


@pytest.mark.parametrize("point", ["ticks.after_enqueue", "work.after_commit"])
def test_a_tick_happens_once_although_the_scheduler_dies(open_shop, point):
    here = open_shop()
    here.clock.advance(3600)
    with here.fail_at(point, kill=True):
        here.drain()
    here.restart()
    here.drain()
    assert shop.Mailer.sent == ["cleaned 3"]


class _Deadly(list):
    """A list that kills its writer on demand."""

    def append(self, text):
        failpoints.reach("runner.after_actor")
        super().append(text)


def test_a_killing_message_becomes_a_dead_letter_and_starts_again_when_replayed(
    open_shop, monkeypatch
):
    here = open_shop()
    monkeypatch.setattr(shop.Mailer, "sent", _Deadly())
    here.services.send(shop.ping, text="x")
    for _ in range(1 + shop.ping.max_crashes):  # the first one goes unseen
        with here.fail_at("runner.after_actor", kill=True):
            here.drain()
        here.restart()
    (given_up,) = here.drain(raises=False)
    assert (given_up.outcome, shop.Mailer.sent) == ("dead", [])
    (letter,) = here.dead
    assert letter.error == "Crashed: its process died 3 times while running it"
    here.replay(letter.id)
    for _ in range(shop.ping.max_crashes):
        with here.fail_at("runner.after_actor", kill=True):
            here.drain()
        here.restart()
    assert here.drain().names == ["shop.ping"]
    assert shop.Mailer.sent == ["ping x"]


def test_a_lost_response_is_repeated_for_the_same_key(open_shop):
    here = open_shop()
    with here.fail_at("requests.after_commit", kill=True):
        order(here, idempotency_key="k")
    here.restart()
    again = order(here, idempotency_key="k")
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")
    assert settled(here)


def test_an_error_at_a_point_is_the_hosts_to_see_to(open_shop):
    here = open_shop()
    order(here)
    with here.fail_at("runner.before_actor", error=shop.Boom("here")):
        ran = here.drain(raises=False)
    assert [str(each.error) for each in ran.failures] == ["here"]
    here.clock.advance(60)
    assert settled(here)


def test_times_and_after_limit_the_failures_of_a_point(open_shop):
    here = open_shop()
    for _ in range(4):
        here.services.enqueue(shop.clean)
    with here.fail_at("runner.before_actor", error=shop.Boom, times=2, after=1) as failure:
        ran = here.drain(raises=False)
    assert [each.outcome for each in ran] == ["completed", "retrying", "retrying", "completed"]
    assert (failure.reached, failure.failed) == (4, 2)


def test_a_block_in_which_the_point_is_not_reached_fails(open_shop):
    here = open_shop()
    with pytest.raises(AssertionError, match=r"runner\.before_actor was not reached"):
        with here.fail_at("runner.before_actor", kill=True):
            here.drain()
    assert failpoints.armed == {}
    here.drain()


def test_a_point_that_there_is_not_is_refused(open_shop):
    with pytest.raises(ValueError, match="did you mean"):
        with open_shop().fail_at("runner.before_actr", kill=True):
            pass


def test_only_the_host_that_was_meant_fails(host, open_shop):
    one = open_shop()
    other = host({"shop": shop}, beside=one, name="other")
    order(one)
    with pytest.raises(AssertionError, match="not reached"):
        with one.fail_at("runner.before_actor", kill=True):
            other.drain()
    assert shop.Mailer.sent == ["hello pear"]


def test_others_take_over_when_the_lease_of_a_dead_host_ends(host, open_shop):
    one = open_shop()
    other = host({"shop": shop}, beside=one, name="other")
    order(one)
    with one.fail_at("ledger.after_claim", kill=True):
        one.drain()
    assert other.drain().names == []
    other.clock.advance(31)
    assert other.drain().names == ["shop.mail"]


def test_a_restart_without_a_crash_stops_the_host_in_good_order(open_shop):
    here = open_shop()
    order(here)
    here.restart()
    assert settled(here)
