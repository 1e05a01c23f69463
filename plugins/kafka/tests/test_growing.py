"""A topic that grows while a group reads it: kafka-python's leader joins again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from rolehost.api import Partition, Record, Subscription
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

PATIENCE = 20.0


class Member:
    """A member of the group, and what it owns and has read."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.stream = KafkaStream(settings)
        self.owned: set[Partition] = set()
        self.values: list[bytes] = []
        self.subscription: Subscription = self.stream.subscribe(
            ["topic"],
            "group",
            on_assigned=self.owned.update,
            on_revoked=self.owned.difference_update,
        )

    @property
    def consumer(self):
        return self.subscription._reader.consumer

    @property
    def idle(self) -> bool:
        """Whether it is not polling the brokers now."""
        return self.subscription._mailbox.idle

    def poll(self) -> None:
        self.values += [each.record.value for each in self.subscription.poll(0.2, 100)]

    def close(self) -> None:
        self.subscription.close()
        self.stream.close()


@pytest.fixture
def members(settings: KafkaSettings) -> Iterator[list[Member]]:
    made = [Member(settings), Member(settings)]
    yield made
    for member in made:
        member.close()


def until(true, *members: Member) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, [member.owned for member in members]
        for member in members:
            member.poll()
        if not members:
            time.sleep(0.01)


def test_a_leader_whose_poll_ended_before_all_had_joined_reads_what_it_is_assigned(
    settings: KafkaSettings, members: list[Member]
) -> None:
    leader, other = members
    until(lambda: len(leader.owned) == settings.partitions, leader)
    until(lambda: len(leader.owned) == len(other.owned) == settings.partitions // 2, *members)
    before = leader.consumer
    assert before._coordinator._is_leader

    admin = KafkaAdminClient(bootstrap_servers=list(settings.servers))
    grown = settings.partitions + 4
    admin.create_partitions({f"{settings.prefix}topic": grown})
    admin.close()
    until(lambda: other.idle)
    before._cluster.request_update()  # else after five minutes
    # It wants to join again, and waits for the other, which comes when it is not looking.
    until(lambda: before._coordinator.rejoining, leader)
    until(lambda: leader.idle)
    until(lambda: before._coordinator._join_task.is_done, other)

    until(lambda: len(leader.owned) + len(other.owned) == grown, *members)
    leader.stream.publish([Record("topic", b"%d" % n, key=b"%d" % n) for n in range(100)])
    until(lambda: len(leader.values) + len(other.values) == 100, *members)
    assert leader.values
    assert other.values
    assert leader.consumer is before, "it was begun anew"
