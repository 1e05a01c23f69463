"""Assertions about jobs and events: matching, and the texts of failures."""

from __future__ import annotations

from decimal import Decimal
from unittest.mock import ANY

import pytest
from rolehost.api import Event, Record
from rolehost_testing.kit.matching import differences

from contrib.testing.tests.kit import shop


@pytest.fixture
def ordered(open_shop):
    here = open_shop()
    here.client.post("/orders", json={"item": "pear"})
    return here


def test_a_job_matches_by_the_arguments_that_are_named(ordered):
    job = ordered.assert_enqueued(shop.mail, item="pear", options={"b": [1, 2]})
    assert (job.actor, job.state, job.queue) == ("shop.mail", "available", "default")
    assert ordered.assert_enqueued("shop.mail", order=ANY) == job
    ordered.refute_enqueued(shop.mail, item="plum")
    ordered.refute_enqueued(shop.clean)


def test_enqueued_lists_jobs_in_every_state(ordered):
    ordered.drain()
    assert ordered.assert_enqueued(shop.mail).state == "completed"


def test_a_failed_assertion_shows_enqueued_jobs_with_the_differences(ordered):
    ordered.services.enqueue(shop.clean)
    with pytest.raises(AssertionError) as raised:
        ordered.assert_enqueued(shop.mail, item="plum", options={"b": [1, 3], "c": 1})
    assert str(raised.value).splitlines() == [
        "no job of shop.mail with item='plum', options={'b': [1, 3], 'c': 1} was enqueued",
        '  job 1 of shop.mail, available: {"order":1,"item":"pear","options":{"a":1,"b":[1,2]}}',
        "    item: expected 'plum', got 'pear'",
        "    options.b[1]: expected 3, got 2",
        "    options.c: expected 1, is missing",
        "  jobs of other actors: shop.clean (1)",
    ]
    with pytest.raises(AssertionError, match=r"must not have been: job 1 of shop\.mail"):
        ordered.refute_enqueued(shop.mail)


def test_a_failed_assertion_states_that_nothing_was_enqueued_or_published(open_shop):
    here = open_shop()
    with pytest.raises(AssertionError, match="nothing was enqueued at all"):
        here.assert_enqueued(shop.mail)
    with pytest.raises(AssertionError, match="nothing was published at all"):
        here.assert_published("shop.sold")
    with pytest.raises(AssertionError, match="there is no dead letter"):
        here.assert_dead()


@pytest.mark.parametrize("drained", [False, True])
def test_an_event_matches_by_topic_type_and_payload_before_and_after_the_relay(ordered, drained):
    if drained:
        ordered.drain()
    event = ordered.assert_published("shop.sold", type="sold", item="pear")
    assert (event.key, event.source, event.data) == ("pear", "/test", {"item": "pear", "order": 1})
    ordered.refute_published("shop.sold", type="returned")
    with pytest.raises(AssertionError) as raised:
        ordered.assert_published("shop.sold", type="returned", item="plum")
    assert "type: expected 'returned', got 'sold'" in str(raised.value)
    assert "item: expected 'plum', got 'pear'" in str(raised.value)
    assert len(ordered.published) == 1


def test_events_of_other_services_are_not_in_published(open_shop):
    here = open_shop()
    here.publish(Event(topic="shop.sold", type="sold", data={"item": "x", "order": 1}))
    here.refute_published("shop.sold")


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": ANY}}, {"a": {"b": 2}}, []),
        (Decimal("1.50"), "1.50", []),
        ([1, {"a": 1}], [1, {"a": 1, "b": 2}], []),
        ([1], [1, 2], ["it: expected [1], got [1, 2]"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ["a[0].b: expected 1, got 2"]),
        ({"a": None}, {}, ["a: expected None, is missing"]),
        (b"x", "eA==", []),
        ("abc", ["a", "b", "c"], ["it: expected 'abc', got ['a', 'b', 'c']"]),
    ],
)
def test_values_match_in_part_and_as_json_has_them(expected, actual, lines):
    assert differences(expected, actual) == lines


def test_an_event_in_structured_mode_is_seen_and_handled_like_any_other(open_shop):
    modes = {"content_modes": {"shop.sold": "structured"}}
    here = open_shop(settings={"delivery": modes})
    order = here.client.post("/orders", json={"item": "pear", "count": 3}).json["id"]
    here.assert_published("shop.sold", type="sold", item="pear", order=order)
    ran = next(each for each in here.drain() if each.name == "shop.stock")
    assert (ran.outcome, ran.arguments) == ("handled", {"item": "pear", "order": order})
    with here.services.database.session():
        assert shop.Order.get_by_id(order).count == 2


def test_a_record_that_cannot_be_decoded_is_one_dead_letter_and_the_next_is_handled(open_shop):
    here = open_shop()
    poison = Record("shop.sold", b"{}", b"k", (("na\udcffme", b"v"),))
    here.publish(poison)
    here.publish(poison)
    here.publish(Event(topic="shop.sold", type="sold", data={"item": "a", "order": 1}, key="k"))
    ran = here.drain(raises=False)
    assert sorted(each.outcome for each in ran) == ["dead", "dead", "handled"]
