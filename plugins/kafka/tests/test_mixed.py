"""One group whose members use different clients, as while a deployment changes its client."""

from __future__ import annotations

import time

import msgspec
import pytest
from rolehost.api import Partition, Record, Subscription
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

PATIENCE = 40.0


class Member:
    """A member of the group, and what it owns and has read."""

    def __init__(self, settings: KafkaSettings, client: str) -> None:
        self.stream = KafkaStream(msgspec.structs.replace(settings, client=client))
        self.owned: set[Partition] = set()
        self.values: list[bytes] = []
        self.subscription: Subscription = self.stream.subscribe(
            ["topic"],
            "group",
            on_assigned=self.owned.update,
            on_revoked=self.owned.difference_update,
        )

    def poll(self) -> None:
        for each in self.subscription.poll(0.1, 100):
            self.values.append(each.record.value)
            self.subscription.commit({each.partition: each.offset + 1})

    def close(self) -> None:
        self.subscription.close()
        self.stream.close()


def until(true, *members: Member) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, [(m.owned, len(m.values)) for m in members]
        for member in members:
            member.poll()


@pytest.mark.parametrize(
    ("first", "second"), [("kafka-python", "confluent"), ("confluent", "kafka-python")]
)
def test_members_with_either_client_share_a_group_and_hand_over_to_each_other(
    settings: KafkaSettings, first: str, second: str
) -> None:
    half = settings.partitions // 2
    old = Member(settings, first)
    until(lambda: len(old.owned) == settings.partitions, old)
    new = Member(settings, second)
    until(lambda: len(old.owned) == len(new.owned) == half, old, new)
    assert not old.owned & new.owned

    sent = [b"%d" % number for number in range(200)]
    old.stream.publish([Record("topic", value, key=value) for value in sent[:100]])
    until(lambda: len(old.values) + len(new.values) >= 100, old, new)
    assert old.values and new.values

    old.close()
    new.stream.publish([Record("topic", value, key=value) for value in sent[100:]])
    until(lambda: len(new.owned) == settings.partitions, new)
    until(lambda: len(old.values) + len(new.values) >= 200, new)
    assert sorted(old.values + new.values) == sorted(sent)
    new.close()
