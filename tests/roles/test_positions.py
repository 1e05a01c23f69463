"""What a member may commit where a partition holds nothing for it: markers, compacted offsets."""

from __future__ import annotations

from rolehost.roles.consumer.stints import Stints
from rolehost.storage import Partition, Record

PLACE, OTHER = Partition("t", 0), Partition("t", 1)


def taken(stints, *offsets):
    return stints.take([Record("t", b"", partition=PLACE, offset=offset) for offset in offsets])


def test_offsets_behind_the_last_record_are_committed_when_all_before_is_finished():
    stints = Stints()
    stints.begin([PLACE], 0)
    [first, second] = taken(stints, 3, 4)
    for each in (second, first):
        stints.read_up_to({PLACE: 6})
        assert stints.committable() == {}, "a record before it is not finished"
        stints.settle(stints.start([each]), True)
    stints.read_up_to({PLACE: 6})
    assert stints.committable() == {PLACE: 6}
    stints.committed({PLACE: 6})
    stints.read_up_to({PLACE: 6})
    assert stints.committable() == {}, "once"
    taken(stints, 6)
    stints.read_up_to({PLACE: 9})
    assert stints.committable() == {}


def test_a_partition_that_only_has_markers_is_committed_and_one_that_is_not_owned_is_not():
    stints = Stints()
    stints.begin([PLACE], 0)
    stints.read_up_to({PLACE: 0, OTHER: 5})
    assert stints.committable() == {}
    stints.read_up_to({PLACE: 2})
    assert stints.committable() == {PLACE: 2}
