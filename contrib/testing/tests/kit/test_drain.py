"""Drains: the work that runs in each mode, and the reports of failures."""

from __future__ import annotations

import pytest
from rolehost.api import Event, PluginInfo, Snooze, UndeclaredError, actor, handler, hookimpl
from rolehost.storage import Record
from rolehost_testing.kit import Endless

from contrib.testing.tests.kit import shop


def order(here, item="pear", **more):
    response = here.client.post("/orders", json={"item": item, **more})
    assert response.status == 201, response
    return response.json["id"]


def test_jobs_and_events_wait_until_they_are_drained(open_shop):
    here = open_shop()
    order(here)
    assert shop.Mailer.sent == []
    ran = here.drain()
    assert ran.names == ["shop.stock", "shop.mail"]
    assert ran.outcomes == {"handled": 1, "completed": 1}
    assert ran[1].arguments["item"] == "pear"
    assert shop.Mailer.sent == ["hello pear"]
    assert (shop.Order.get().stamped, shop.Order.get().count) == (1, 0)
    assert here.drain() == []


def test_inline_they_run_after_the_commit_and_before_the_answer(open_shop):
    here = open_shop(mode="inline")
    order(here)
    assert shop.Mailer.sent == ["hello pear"]
    assert here.ran.names == ["shop.stock", "shop.mail"]
    assert here.ran == []


def test_an_inline_job_is_not_part_of_the_request_that_enqueued_it(open_shop):
    here = open_shop(mode="inline")
    here.clock.advance(3600)
    for _ in range(2):
        order(here)
    sent = here.client.post("/orders", json={"item": "fig"}, idempotency_key="k")
    assert sent.status == 201
    assert shop.Mailer.sent == ["hello pear", "cleaned 3", "hello pear", "hello fig"]


def test_inline_an_ephemeral_message_runs_when_the_unit_of_work_around_it_is_over(open_shop):
    here = open_shop(mode="inline")
    with here.unit_of_work():
        here.services.send(shop.ping, text="in")
        assert shop.Mailer.sent == []
    here.services.send(shop.ping, text="out")
    assert shop.Mailer.sent == ["ping in", "ping out"]


def test_inline_jobs_of_a_rolled_back_unit_of_work_do_not_run(open_shop):
    here = open_shop(mode="inline")
    with pytest.raises(shop.Boom), here.unit_of_work() as work:
        work.enqueue(shop.clean)
        raise shop.Boom
    assert shop.Mailer.sent == []


def test_an_unchecked_inline_failure_fails_the_test_at_its_end():
    from rolehost_testing.kit import open_host

    with pytest.raises(shop.Boom), open_host({"shop": shop}, mode="inline") as here:
        assert here.client.post("/orders", json={"item": "bomb"}).status == 201
    with open_host({"shop": shop}, mode="inline") as here:
        here.client.post("/orders", json={"item": "bomb"})
        assert [str(each.error) for each in here.ran.failures] == ["no bomb"]


def test_drain_raises_the_error_of_a_job_after_all_other_work(open_shop):
    here = open_shop()
    order(here, "bomb")
    order(here, "pear")
    with pytest.raises(shop.Boom, match="no bomb") as raised:
        here.drain()
    assert any("shop.mail retrying" in note for note in raised.value.__notes__)
    assert shop.Mailer.sent == ["hello pear"]


def test_several_failures_are_raised_as_one_group(open_shop):
    here = open_shop()
    order(here, "bomb")
    order(here, "bomb")
    with pytest.raises(ExceptionGroup, match="2 of 4") as raised:
        here.drain()
    assert [type(each) for each in raised.value.exceptions] == [shop.Boom, shop.Boom]


def test_a_drain_can_return_failures_instead(open_shop):
    here = open_shop()
    order(here, "bomb")
    ran = here.drain(raises=False)
    (failed,) = ran.failures
    assert (failed.name, failed.outcome, str(failed.error)) == ("shop.mail", "retrying", "no bomb")


def test_with_delays_the_clock_goes_to_where_the_next_attempt_is_due(open_shop):
    here = open_shop()
    order(here, "dud")
    began = here.clock.now()
    ran = here.drain(with_delays=True)
    assert [each.outcome for each in ran if each.kind == "job"] == ["retrying", "completed"]
    assert here.clock.now() - began == 10_000
    assert shop.Mailer.sent == ["hello dud"]


def test_a_job_that_fails_to_the_end_is_a_dead_letter(open_shop):
    here = open_shop()
    order(here, "bomb")
    ran = here.drain(with_delays=True, raises=False)
    assert [each.outcome for each in ran if each.kind == "job"] == ["retrying", "retrying", "dead"]
    assert here.assert_dead(shop.mail, error="no bomb").id == "job:1"
    with pytest.raises(AssertionError, match="no bomb"):
        here.refute_dead()


def test_a_handler_is_tried_again_in_place_and_then_its_event_is_dead(open_shop):
    here = open_shop()
    here.publish(Event(topic="shop.sold", type="sold", data={"item": "lost", "order": 1}))
    began = here.clock.now()
    with pytest.raises(shop.Boom, match="not on stock"):
        here.drain()
    assert here.clock.now() - began == 500
    here.assert_dead(shop.stock, error="not on stock")


def test_an_undecodable_event_is_dead_and_reported(open_shop):
    here = open_shop()
    here.publish(Record("shop.sold", b"{"))
    with pytest.raises(Exception, match="DecodeError"):
        here.drain()
    here.assert_dead("shop.stock")


def test_an_event_that_comes_twice_is_handled_once(open_shop):
    here = open_shop()
    number = order(here, count=5)
    here.drain()
    event = Event(topic="shop.sold", type="sold", id="same", data={"item": "pear", "order": number})
    here.publish(event)
    here.publish(event)
    assert here.drain().outcomes == {"handled": 1, "duplicate": 1}
    assert shop.Order.get().count == 3


def test_dead_letters_of_every_kind_can_be_replayed(open_shop, monkeypatch):
    here = open_shop()
    order(here, "bomb")
    here.publish(Event(topic="shop.sold", type="sold", data={"item": "lost", "order": 1}))
    here.services.send(shop.ping, text="bomb")
    here.drain(with_delays=True, raises=False)
    assert sorted(each.id.partition(":")[0] for each in here.dead) == ["event", "job", "message"]
    for letter in here.dead:
        here.replay(letter)
    again = here.drain(raises=False)
    assert {(each.kind, each.outcome) for each in again} == {
        ("event", "dead"),
        ("job", "retrying"),
        ("message", "retrying"),
    }
    with pytest.raises(LookupError, match="no dead letter job:99"):
        here.replay("job:99")


def test_ephemeral_messages_run_too_and_are_tried_again_later(open_shop):
    here = open_shop()
    here.services.send(shop.ping, text="x")
    here.services.send(shop.ping, text="bomb")
    ran = here.drain(raises=False)
    assert [(each.kind, each.outcome) for each in ran] == [
        ("message", "completed"),
        ("message", "retrying"),
    ]
    assert shop.Mailer.sent == ["ping x"]
    (again,) = here.advance(5, raises=False)
    assert (again.outcome, str(again.error)) == ("dead", "bomb")


def test_a_schedule_ticks_at_its_time_or_by_a_call(open_shop):
    here = open_shop()
    assert here.drain() == []
    assert here.advance(3 * 3600).names == ["shop.clean"] * 3
    assert shop.Mailer.sent == ["cleaned 3"] * 3
    here.clock.advance(3 * 3600)
    assert here.drain().names == ["shop.clean"], "what was missed is made up for once"
    here.tick("shop.nightly")
    assert here.drain().names == ["shop.clean"]
    with pytest.raises(LookupError, match=r'did you mean "shop\.nightly"\?'):
        here.tick("shop.nigthly")


def test_a_delayed_job_runs_when_its_time_has_come(open_shop):
    here = open_shop()
    here.services.enqueue(shop.clean, delay=60)
    assert here.drain() == []
    here.clock.advance(59)
    assert here.drain() == []
    here.clock.advance(1)
    assert here.drain().names == ["shop.clean"]


def test_what_is_not_declared_is_refused(open_shop):
    here = open_shop()
    with pytest.raises(UndeclaredError, match=r"other\.topic"):
        here.services.publish(Event(topic="other.topic", type="x", data={}))
    with pytest.raises(UndeclaredError, match=r"other\.actor"):
        here.services.enqueue("other.actor")


class Repeating:
    """A plugin with an actor that enqueues itself, or snoozes, for ever; and a batch handler."""

    def __init__(self):
        self.batches = []

        @actor(name="again")
        def again(job):
            job.services.enqueue(again)

        @actor(name="sleepy")
        def sleepy(job):
            return Snooze(1)

        @handler(topic="many", group="g", name="batch", payload=int, batch=3)
        def batch(context, events):
            self.batches.append([event.data for event in events])
            if 13 in self.batches[-1]:
                raise shop.Boom("unlucky")

        self.again, self.sleepy, self.batch = again, sleepy, batch

    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=1, enqueues=("again", "sleepy"), publishes=("many",))

    @hookimpl
    def rolehost_actors(self):
        return [self.again, self.sleepy]

    @hookimpl
    def rolehost_handlers(self):
        return [self.batch]


def test_an_endless_drain_names_the_running_work(host, monkeypatch):
    monkeypatch.setattr("rolehost_testing.kit.driving.MOST", 20)
    monkeypatch.setattr("rolehost_testing.kit.host.MOST", 20)
    plugin = Repeating()
    here = host({"repeating": plugin})
    here.services.enqueue(plugin.again)
    with pytest.raises(Endless, match="again, again"):
        here.drain()


def test_a_job_that_always_comes_again_ends_a_drain_with_delays(host, monkeypatch):
    monkeypatch.setattr("rolehost_testing.kit.host.MOST", 20)
    plugin = Repeating()
    here = host({"repeating": plugin})
    here.services.enqueue(plugin.sleepy)
    with pytest.raises(Endless):
        here.drain(with_delays=True)


def test_batches_are_handed_over_whole_and_one_by_one_when_they_fail(host):
    plugin = Repeating()
    here = host({"repeating": plugin})
    with here.unit_of_work() as work:
        for number in (1, 2, 3, 4):
            work.publish(Event(topic="many", type="n", data=number, key="k"))
    assert here.drain().outcomes == {"handled": 4}
    assert plugin.batches == [[1, 2, 3], [4]]
    here.publish(Event(topic="many", type="n", data=12, key="k"))
    here.publish(Event(topic="many", type="n", data=13, key="k"))
    ran = here.drain(raises=False)
    assert ran.outcomes == {"handled": 1, "dead": 1}
    assert [str(each.error) for each in ran.failures] == ["unlucky"]


def test_log_lines_of_the_host_are_in_caplog(open_shop, caplog):
    here = open_shop()
    order(here, "bomb")
    here.drain(raises=False)
    (line,) = [each for each in caplog.records if each.getMessage().startswith("job failed")]
    assert "actor=shop.mail attempt=1" in line.getMessage()
    assert line.name == "rolehost.delivery.runner"
    assert line.exc_info[0] is shop.Boom


def test_a_job_of_another_deployment_is_left_for_it(host):
    class Asking:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=1, requires=("database",), enqueues=("shop.clean",))

    here = host([Asking()])
    here.services.enqueue(shop.clean, delay=60)
    assert here.drain(with_delays=True) == []
    assert here.advance(3600) == []
    assert host({"shop": shop}, beside=here).drain().names == ["shop.clean"]
