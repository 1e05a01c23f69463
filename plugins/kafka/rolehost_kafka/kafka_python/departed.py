"""Members of a group whose process was killed: taken out, instead of waited for.

Brokers notice after ``session_timeout`` seconds only that a member is gone; until then they keep
its partitions for it and hold up every rebalance. The process that is started in its place on
the same machine knows better.
"""

from __future__ import annotations

import contextlib

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from rolehost.api import StorageError

from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, connected
from rolehost_kafka.members import is_departed
from rolehost_kafka.settings import KafkaSettings


def remove_departed(settings: KafkaSettings, group: str) -> None:
    """Take members out of a group whose process has ended on this machine.

    A failure costs nothing but the time until the brokers notice themselves.
    """
    with contextlib.suppress(StorageError, *DRIVER_ERRORS):
        client = connected(settings, KafkaAdminClient, **options.administration(settings))
        try:
            members = client.describe_groups([group])[group]["members"]
            gone = [each["member_id"] for each in members if is_departed(each["client_id"])]
            if gone:
                client.remove_group_members(
                    group, [MemberToRemove(member_id=each, reason="killed") for each in gone]
                )
        finally:
            client.close()
