"""Storage kind ``stream``: topics of records, read by consumer groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from rolehost.errors import StorageError, StorageUnavailable
from rolehost.storage.client import StorageClient


class Partition(NamedTuple):
    """One partition of a topic.

    Attributes:
        topic: name of the topic.
        number: the partition's, from 0.
    """

    topic: str
    number: int


#: The partition of a record that was not read from a stream.
UNREAD = Partition("", -1)


# gc=False: a record cannot be part of a cycle, and there are very many of them.
class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of a stream: one to be published, or one that a subscription returned.

    Attributes:
        topic: name of the topic.
        value: the payload, as it is; never re-encoded.
        key: records of one key keep their order; None spreads over the partitions.
        headers: name and value, in order; a name may repeat. Bytes of a name that are not UTF-8
            are surrogate escapes (PEP 383); a value that is null in the stream is empty.
        partition: where it was read; ``("", -1)`` if it was not. Ignored by :meth:`Stream.publish`.
        offset: its position in the partition; offsets rise but may have gaps.
        timestamp: when it was published, in milliseconds since the epoch.
    """

    topic: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: Partition = UNREAD
    offset: int = -1
    timestamp: int = 0

    def read_at(self, partition: Partition, offset: int, timestamp: int) -> Record:
        """Return this record as a subscription returns it that read it there."""
        return msgspec.structs.replace(
            self, partition=partition, offset=offset, timestamp=timestamp
        )


class Subscription(ABC):
    """One member of a consumer group. Used by one thread; :meth:`interrupt` by any."""

    @abstractmethod
    def poll(self, timeout: float, limit: int) -> list[Record]:
        """Return at most ``limit`` records that follow those returned before.

        Waits up to ``timeout`` seconds for the first. Keeps the membership alive: call it at
        least every ``heartbeat`` seconds. May call ``on_revoked`` and ``on_assigned``, in this
        thread, before it returns. Never decodes a value.

        Raises:
            StorageUnavailable: the stream cannot be reached; the subscription stays usable.
        """

    @abstractmethod
    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store for each partition the next offset to read; a restart begins there.

        Partitions that this member no longer owns are left alone.
        """

    def positions(self) -> Mapping[Partition, int]:
        """Return the next offset to read of owned partitions whose records were all returned.

        It may lie behind offsets that hold no record for a reader: markers of transactions,
        aborted records, compacted ones. Nothing, as here, if offsets have no such gaps.
        """
        return {}

    @abstractmethod
    def pause(self, partitions: Collection[Partition]) -> None:
        """Return no records of these partitions until :meth:`resume`."""

    @abstractmethod
    def resume(self, partitions: Collection[Partition]) -> None:
        """Return records of these partitions again."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make a running or the next :meth:`poll` return at once."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group, so that others take over at once. Idempotent, never raises."""


class Stream(StorageClient):
    """The stream of one process; made after the fork. Thread-safe but for subscriptions."""

    #: What this backend can do: names of ``CAPABILITIES["stream"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def publish(self, records: Sequence[Record]) -> None:
        """Append records, in order; return when all of them are stored durably.

        Raises:
            StorageUnavailable: some may have been stored; publishing all again is right, for
                consumers recognise an event by its id.
            StorageError: another one: a record is refused for what it is (too large), and
                repeating it cannot help.
        """

    def publish_each(self, records: Sequence[Record]) -> list[StorageError | None]:
        """Append records, in order; return for each why it was not stored, None if it was.

        StorageUnavailable: the record may be stored if it is published again. Another
        StorageError: it never will be. The default divides the records until those that
        :meth:`publish` refuses are found; a backend that is told of each record overrides it.
        """
        try:
            self.publish(records)
        except StorageUnavailable as error:
            return [error] * len(records)
        except StorageError as error:
            if len(records) == 1:
                return [error]
            half = len(records) // 2
            first = self.publish_each(records[:half])
            for each in first:
                if isinstance(each, StorageUnavailable):
                    return first + [each] * (len(records) - half)
            return first + self.publish_each(records[half:])
        return [None] * len(records)

    @abstractmethod
    def subscribe(
        self,
        topics: Collection[str],
        group: str,
        *,
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> Subscription:
        """Join a consumer group; a group without offsets starts at the oldest record.

        ``on_revoked`` is called before a partition goes to another member, and may still
        commit it.
        """

    @abstractmethod
    def lag(self, topics: Collection[str], group: str) -> int:
        """Return how many records the group has not committed yet."""

    @abstractmethod
    def trim(self) -> int:
        """Drop records beyond the configured retention; return how many were dropped.

        A backend whose server does this by itself returns 0.
        """

    def verify(self, topics: Collection[str]) -> None:
        """Return when these topics may be used; asked before a process is ready.

        Nothing to do, as here, for a backend that makes topics when they are first used.

        Raises:
            StorageRefused: one is missing, and the deployment says that it is not made here.
            StorageUnavailable: the stream cannot be asked.
        """
