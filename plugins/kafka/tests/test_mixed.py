"""One group whose members use different clients, as while a deployment changes its client."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest
from rolehost.api import Record
from rolehost_kafka.settings import KafkaSettings

from .member import Member, until


@pytest.mark.parametrize(
    ("first", "second"), [("kafka-python", "confluent"), ("confluent", "kafka-python")]
)
def test_members_with_either_client_share_a_group_and_hand_over_to_each_other(
    settings: KafkaSettings, first: str, second: str
) -> None:
    half = settings.partitions // 2
    sent = [b"%d" % number for number in range(200)]
    with (
        closing(Member(msgspec.structs.replace(settings, client=first))) as old,
        closing(Member(msgspec.structs.replace(settings, client=second))) as new,
    ):
        until(lambda: len(old.owned) == settings.partitions, old)
        until(lambda: len(old.owned) == len(new.owned) == half, old, new)
        assert not old.owned & new.owned

        old.stream.publish([Record("topic", value, key=value) for value in sent[:100]])
        until(lambda: len(old.values) + len(new.values) >= 100, old, new)
        assert old.values and new.values

        old.leave()
        new.stream.publish([Record("topic", value, key=value) for value in sent[100:]])
        until(lambda: len(new.owned) == settings.partitions, new)
        until(lambda: len(old.values) + len(new.values) >= 200, new)
        assert sorted(old.values + new.values) == sorted(sent)
