"""What the log of claims says about limits."""

from __future__ import annotations

import pytest

from tests.proofs.claim_log import Claim, excess, overlaps, rate_excess


def claim(began, ended, *, owner="one", partition="a", at=0.0, began_in=1, ended_in=2):
    return Claim("actor", "queue", partition, owner, began, ended, at, began_in, ended_in)


def by_partition(each):
    return each.partition


def test_claims_that_follow_each_other_are_not_at_the_same_time():
    assert excess([claim(1, 2), claim(2, 3)], by_partition, 2) == -1


def test_a_claim_above_the_limit_is_an_excess():
    assert excess([claim(1, 5), claim(2, 5), claim(3, 5)], by_partition, 2) == 1


def test_a_transaction_may_end_a_claim_and_take_its_place():
    claims = [claim(1, 4, ended_in=7), claim(3, 9, began_in=7)]
    assert excess(claims, by_partition, 1) == 0
    assert excess([*claims, claim(3.5, 9)], by_partition, 2) == 1


def test_each_partition_has_its_own_limit():
    claims = [claim(1, 5, partition=name) for name in "abc"]
    assert excess(claims, by_partition, 2) == -1


def test_a_claim_that_never_ended_counts_for_ever():
    claims = [claim(1, float("inf")), claim(50, 51), claim(60, 61)]
    assert excess(claims, by_partition, 2) == 0


def test_one_process_may_hold_several_jobs_of_a_partition_of_one():
    assert excess([claim(1, 5), claim(2, 5)], by_partition, 1) == 0


def test_two_processes_may_not_hold_a_partition_of_one():
    assert excess([claim(1, 5), claim(2, 5, owner="two")], by_partition, 1) == 1


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0, 0.0, 0.1, 0.2], 0.0),  # a burst of 2, then 10 a second
        ([0.0, 0.0, 0.0], 1.0),
        ([0.0, 1.0, 1.0, 1.0], 1.0),
        ([0.0, 5.0], -1.0),
    ],
)
def test_a_rate_allows_its_burst_and_what_time_gives(times, expected):
    found = rate_excess([claim(0, 0, at=at) for at in times], 10.0, 2, 0.0)
    assert found == pytest.approx(expected)


def test_runs_that_overlap_are_counted():
    assert overlaps([(0, 2), (2, 3), (2.5, 4)]) == 1
