"""Storage kind ``stream`` in tables of the database file."""

from __future__ import annotations

import contextlib
import threading
import uuid
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from rolehost.api import Partition, Record, Stream, Subscription

from rolehost_embedded import abilities
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.groups import Member
from rolehost_embedded.messages import milliseconds
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.subscription import EmbeddedSubscription, group_name, records_name
from rolehost_embedded.topics import Topics
from rolehost_embedded.wakes import Wakes


class EmbeddedStream(Stream):
    """Topics whose partitions are assigned to the members of a group by leases.

    Args:
        settings: the plugin's settings.
        clock: returns the milliseconds since the epoch.
    """

    capabilities: ClassVar[frozenset[str]] = abilities.STREAM

    def __init__(self, settings: EmbeddedSettings, clock: Callable[[], int] = milliseconds) -> None:
        self._settings = settings
        self._clock = clock
        self._database = EmbeddedDatabase(settings)
        self._wakes = Wakes(self._database.path)
        self._topics = Topics(self._database, partitions=settings.partitions, clock=clock)
        self._subscriptions: weakref.WeakSet[EmbeddedSubscription] = weakref.WeakSet()
        self._guard = threading.Lock()

    def publish(self, records: Sequence[Record]) -> None:
        """See :meth:`rolehost.api.Stream.publish`; all records in one transaction."""
        if not records:
            return
        self._topics.append(records)
        self._wakes.wake({records_name(record.topic) for record in records})

    def subscribe(
        self,
        topics: Collection[str],
        group: str,
        *,
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> Subscription:
        """See :meth:`rolehost.api.Stream.subscribe`; joins the group at the first poll."""
        subscribed = [self._topics.get(name) for name in sorted(set(topics))]
        member = Member(
            self._topics,
            group,
            uuid.uuid4().hex,
            subscribed,
            lease=int(self._settings.member_lease * 1000),
            clock=self._clock,
        )
        names = {records_name(topic.name) for topic in subscribed} | {group_name(group)}
        subscription = EmbeddedSubscription(
            self._topics,
            subscribed,
            member,
            listener=self._wakes.listen(names),
            heartbeat=self._settings.member_lease / 3,
            wake_group=lambda: self._wakes.wake((group_name(group),)),
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
        with self._guard:
            self._subscriptions.add(subscription)
        return subscription

    def lag(self, topics: Collection[str], group: str) -> int:
        """See :meth:`rolehost.api.Stream.lag`."""
        return self._topics.lag(sorted(set(topics)), group)

    def trim(self) -> int:
        """See :meth:`rolehost.api.Stream.trim`."""
        return self._topics.trim(
            oldest=self._clock() - int(self._settings.keep_records * 1000),
            most=self._settings.keep_records_count,
        )

    def ping(self) -> None:
        """See :meth:`rolehost.api.Stream.ping`."""
        self._database.ping()

    def close(self) -> None:
        """See :meth:`rolehost.api.Stream.close`; open subscriptions leave their groups."""
        with self._guard:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            with contextlib.suppress(Exception):
                subscription.close()
        self._wakes.close()
        self._database.close()
