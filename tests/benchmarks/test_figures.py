"""Benchmarks measure both sides in turns and compute ratios from the rounds."""

from __future__ import annotations

import pytest

from benchmarks import pairs
from benchmarks.model import Figure, Goal, Spread
from benchmarks.moments import Moments
from benchmarks.table import markdown_table, row


def figure(**given):
    plain = {"benchmark": "b", "what": "w", "unit": "/s", "ours": [90.0, 110.0, 100.0]}
    return Figure(**{**plain, **given})


def test_sides_are_measured_in_turns_and_the_order_changes_from_round_to_round(monkeypatch):
    monkeypatch.setattr(pairs.quiet, "await_still", lambda patience: True)
    monkeypatch.setattr(pairs.quiet, "still", lambda: True)
    turns = []

    def side(name):
        def measure():
            turns.append(name)
            return {"rate": float(len(turns))}

        return measure

    steps = []
    rounds = pairs.interleave(
        side("host"), side("bare"), rounds=3, step=lambda: steps.append(1), patience=0.0
    )
    warm, measured = turns[:2], turns[2:]
    assert warm == ["host", "bare"]
    assert measured == ["host", "bare", "bare", "host", "host", "bare"]
    assert rounds.ours["rate"] == [3.0, 6.0, 7.0]
    assert rounds.bare["rate"] == [4.0, 5.0, 8.0]
    assert rounds.quiet == [True, True, True]
    assert len(steps) == 3


def test_several_sides_take_turns_forwards_and_backwards(monkeypatch):
    monkeypatch.setattr(pairs.quiet, "await_still", lambda patience: True)
    monkeypatch.setattr(pairs.quiet, "still", lambda: True)
    turns = []

    def side(name):
        def measure():
            turns.append(name)
            return {"rate": float(len(turns))}

        return measure

    sides = {name: side(name) for name in "abc"}
    found = pairs.take_turns(sides, rounds=2, step=bool, patience=0.0)
    assert turns == ["a", "b", "c", "a", "b", "c", "c", "b", "a"]
    assert found.samples["a"]["rate"] == [4.0, 9.0]
    assert found.quiet == [True, True]


def test_moments_of_jobs_are_seen_by_another_mapping_of_the_file(tmp_path):
    measuring, program = Moments(tmp_path / "m", 2), Moments(tmp_path / "m", 2)
    program.start(1)
    program.start(0)
    program.end(0)
    program.end(1)
    measuring.await_ends()
    assert 0 < measuring.first <= measuring.last


def test_a_ratio_above_one_means_that_the_host_is_the_better_one():
    assert figure(bare=[45.0, 55.0, 50.0]).ratios == [2.0, 2.0, 2.0]
    assert figure(bare=[180.0, 220.0, 200.0], inverse=True).ratios == [2.0, 2.0, 2.0]


def test_only_quiet_rounds_count_when_there_are_three_of_them():
    noisy = figure(ours=[1.0, 10.0, 10.0, 10.0], quiet=[False, True, True, True])
    assert noisy.value.least == 10.0
    assert noisy.calm


def test_with_fewer_quiet_rounds_all_count_and_the_figure_is_marked():
    noisy = figure(ours=[1.0, 10.0, 10.0], quiet=[False, True, True])
    assert noisy.value.least == 1.0
    assert not noisy.calm
    assert "~" in row(noisy)[3]


@pytest.mark.parametrize(
    ("goal", "value", "held"),
    [
        (Goal(least=0.97), 0.97, True),
        (Goal(least=0.97), 0.96, False),
        (Goal(most=10), 10.0, True),
        (Goal(most=10), 10.1, False),
        (Goal(least=0.98, most=1.02), 1.03, False),
    ],
)
def test_a_goal_is_held_within_its_bounds(goal, value, held):
    assert goal.held(value) is held


def test_a_figure_without_a_goal_neither_holds_nor_fails():
    assert figure().held is None


def test_one_sample_is_its_own_spread():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, 3.0, 3.0)


def test_the_table_of_a_document_has_one_line_a_figure():
    text = markdown_table([figure(goal=Goal(least=50)), figure(bare=[100.0, 100.0, 100.0])])
    head, rule, first, second = text.splitlines()
    assert head.count("|") == rule.count("|") == first.count("|") == second.count("|")
    assert first.endswith("| ≥ 50 | yes |")
    assert "1.000" in second
