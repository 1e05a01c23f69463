"""Ids sort by time and have the length that Svix's have."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from rolehost_webhooks import ids

TIMES = st.integers(ids.EARLIEST, ids.LATEST)
PAYLOADS = st.binary(min_size=15, max_size=15)


@given(TIMES, TIMES, PAYLOADS, PAYLOADS)
def test_ids_of_different_moments_sort_by_time(
    one: int, other: int, first: bytes, second: bytes
) -> None:
    if one // 4 != other // 4:
        assert (ids.ksuid(one, first) < ids.ksuid(other, second)) == (one < other)


@given(TIMES, PAYLOADS)
def test_every_id_of_a_moment_lies_between_its_bounds(moment: int, payload: bytes) -> None:
    made = "msg_" + ids.ksuid(moment, payload)
    assert ids.first_at("msg_", moment) <= made <= ids.last_at("msg_", moment)
    assert len(made) == 4 + 27


def test_times_that_four_bytes_cannot_hold_are_taken_as_the_nearest() -> None:
    assert ids.first_at("x", -1) == ids.first_at("x", ids.EARLIEST)
    assert ids.last_at("x", 10**18) == ids.last_at("x", ids.LATEST)


def test_a_new_id_comes_of_the_services_clock_and_random_source() -> None:
    class Services:
        random = random.Random(1)

        class clock:
            now = staticmethod(lambda: 1_700_000_000_000)

    first, second = (ids.new(ids.APPLICATION, Services()) for _ in range(2))  # type: ignore[arg-type]
    assert first != second
    assert first[:9] == second[:9]
