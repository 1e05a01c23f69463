"""The clock of a host, and everything that looks at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rolehost_testing.kit import Clock

from contrib.testing.tests.kit import shop


def test_it_stands_still_until_it_is_moved_and_never_goes_back():
    clock = Clock(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now() == 1_893_456_000_000
    clock.advance(1.5)
    assert clock.moment == datetime(2030, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    clock.move_to(clock.moment + timedelta(days=1))
    clock.move_to(clock.moment - timedelta(days=2))
    assert clock.moment.day == 2
    with pytest.raises(ValueError, match="cannot go back by 1 s"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="no time zone"):
        Clock(datetime(2030, 1, 1))


def test_cached_values_expire_by_the_clock(open_shop):
    here = open_shop()
    cache = here.services.cache
    cache.set("k", b"v", ttl=10)
    assert cache.hit("limit", 1, 60).allowed
    assert not cache.hit("limit", 1, 60).allowed
    lease = cache.lock("lock", ttl=10)
    here.clock.advance(9)
    assert (cache.get("k"), cache.lock("lock", ttl=10)) == (b"v", None)
    here.clock.advance(2)
    assert (cache.get("k"), cache.renew(lease, 10)) == (None, False)
    here.clock.advance(60)
    assert cache.hit("limit", 1, 60).allowed


def test_jobs_schedules_and_events_see_its_time(open_shop):
    here = open_shop()
    here.clock.advance(86_400)
    here.client.post("/orders", json={"item": "pear"})
    assert here.assert_published("shop.sold").time == here.clock.moment
    assert here.assert_enqueued(shop.mail).run_at == here.clock.now()


def test_time_that_passes_lets_everything_happen_at_its_moment(open_shop):
    here = open_shop()
    began = here.clock.now()
    here.client.post("/orders", json={"item": "bomb"})
    ran = here.advance(2 * 3600, raises=False)
    assert [(each.name, each.outcome) for each in ran] == [
        ("shop.stock", "handled"),
        ("shop.mail", "retrying"),
        ("shop.mail", "retrying"),
        ("shop.mail", "dead"),
        ("shop.clean", "completed"),
        ("shop.clean", "completed"),
    ]
    assert here.clock.now() == began + 2 * 3_600_000
