"""Removes members of a group whose process was killed.

Brokers notice only after ``session_timeout`` seconds that a member is gone. Until then they keep
its partitions and delay every rebalance. The process that replaces the killed one on the same
machine can see that the killed one is gone.
"""

from __future__ import annotations

import contextlib

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from rolehost.api import StorageError

from rolehost_kafka.kafka_python import options
from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, make_client
from rolehost_kafka.members import is_departed
from rolehost_kafka.settings import KafkaSettings


def remove_departed(settings: KafkaSettings, group: str) -> None:
    """Remove members of a group whose process has ended on this machine.

    If this fails, the brokers notice later.
    """
    with contextlib.suppress(StorageError, *DRIVER_ERRORS):
        client = make_client(settings, KafkaAdminClient, **options.administration(settings))
        try:
            members = client.describe_groups([group])[group]["members"]
            gone = [each["member_id"] for each in members if is_departed(each["client_id"])]
            if gone:
                client.remove_group_members(
                    group, [MemberToRemove(member_id=each, reason="killed") for each in gone]
                )
        finally:
            client.close()
