"""A topic that grows while a group reads it: kafka-python's leader joins again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from rolehost.api import Record
from rolehost_kafka.settings import KafkaSettings

from .member import Member, until


def consumer_of(member: Member):
    return member.subscription._reader.consumer


def idle(member: Member) -> bool:
    """Whether it is not polling the brokers now."""
    return member.subscription._mailbox.idle


@pytest.fixture
def members(settings: KafkaSettings) -> Iterator[list[Member]]:
    made = [Member(settings), Member(settings)]
    yield made
    for member in made:
        member.close()


def test_a_leader_whose_poll_ended_before_all_had_joined_reads_what_it_is_assigned(
    settings: KafkaSettings, members: list[Member]
) -> None:
    leader, other = members
    until(lambda: len(leader.owned) == settings.partitions, leader)
    until(lambda: len(leader.owned) == len(other.owned) == settings.partitions // 2, *members)
    before = consumer_of(leader)
    assert before._coordinator._is_leader

    admin = KafkaAdminClient(bootstrap_servers=list(settings.servers))
    grown = settings.partitions + 4
    admin.create_partitions({f"{settings.prefix}topic": grown})
    admin.close()
    until(lambda: idle(other))
    before._cluster.request_update()  # else after five minutes
    # It wants to join again, and waits for the other, which comes when it is not looking.
    until(lambda: before._coordinator.rejoining, leader)
    until(lambda: idle(leader))
    until(lambda: before._coordinator._join_task.is_done, other)

    until(lambda: len(leader.owned) + len(other.owned) == grown, *members)
    leader.stream.publish([Record("topic", b"%d" % n, key=b"%d" % n) for n in range(100)])
    until(lambda: len(leader.values) + len(other.values) == 100, *members)
    assert leader.values
    assert other.values
    assert consumer_of(leader) is before, "it was begun anew"
