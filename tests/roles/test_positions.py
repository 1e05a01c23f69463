"""Offsets without a record: transaction markers and compacted records are committed too."""

from __future__ import annotations

from rolehost.roles.consumer.assignments import Assignments
from rolehost.storage import Partition, Record

PLACE, OTHER = Partition("t", 0), Partition("t", 1)


def taken(assignments, *offsets):
    return assignments.take(
        [Record("t", b"", partition=PLACE, offset=offset) for offset in offsets]
    )


def test_offsets_behind_the_last_record_are_committed_when_all_before_is_finished():
    assignments = Assignments()
    assignments.assign([PLACE], 0)
    [first, second] = taken(assignments, 3, 4)
    for each in (second, first):
        assignments.note_positions({PLACE: 6})
        assert assignments.committable() == {}, "a record before it is not finished"
        assert assignments.start(each)
        assignments.settle(each, True)
    assignments.note_positions({PLACE: 6})
    assert assignments.committable() == {PLACE: 6}
    assignments.note_committed({PLACE: 6})
    assignments.note_positions({PLACE: 6})
    assert assignments.committable() == {}, "once"
    taken(assignments, 6)
    assignments.note_positions({PLACE: 9})
    assert assignments.committable() == {}


def test_a_partition_that_only_has_markers_is_committed_and_one_that_is_not_owned_is_not():
    assignments = Assignments()
    assignments.assign([PLACE], 0)
    assignments.note_positions({PLACE: 0, OTHER: 5})
    assert assignments.committable() == {}
    assignments.note_positions({PLACE: 2})
    assert assignments.committable() == {PLACE: 2}
