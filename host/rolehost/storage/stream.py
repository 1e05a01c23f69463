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
        number: number of the partition, from 0.
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
        value: the payload; never decoded or encoded again.
        key: records of one key keep their order; a record without a key (None) goes to any
            partition.
        headers: name and value, in order; a name may repeat. Bytes of a name that are not UTF-8
            are surrogate escapes (PEP 383). A value that is null in the stream is empty.
        partition: where the record was read; ``("", -1)`` if it was not read from a stream.
            :meth:`Stream.publish` ignores it.
        offset: position in the partition; offsets rise but may have gaps.
        timestamp: when the record was published, in milliseconds since the epoch.
    """

    topic: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: Partition = UNREAD
    offset: int = -1
    timestamp: int = 0

    def read_at(self, partition: Partition, offset: int, timestamp: int) -> Record:
        """Return a copy of this record as a subscription reads it at this position."""
        return msgspec.structs.replace(
            self, partition=partition, offset=offset, timestamp=timestamp
        )


class Subscription(ABC):
    """A member of a consumer group. Used by one thread; any may call :meth:`interrupt`."""

    @abstractmethod
    def poll(self, timeout: float, limit: int) -> list[Record]:
        """Return the next records, at most ``limit``.

        Waits up to ``timeout`` seconds for the first one. Keeps the membership alive: a member
        that does not poll for too long loses its partitions (Kafka's ``max.poll.interval.ms``).
        May call ``on_revoked`` and ``on_assigned``, in this thread, before it returns. Never
        decodes a value.

        Raises:
            StorageUnavailable: the stream cannot be reached; the subscription stays usable.
        """

    @abstractmethod
    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store for each partition the offset to read next; a restart begins there.

        Partitions that this member no longer owns are ignored.
        """

    def positions(self) -> Mapping[Partition, int]:
        """Return the offset to read next, by owned partition.

        A partition is left out while :meth:`poll` still has records of it to return. The offset
        may be after a gap: transaction markers, aborted or compacted records. A stream without
        such gaps returns an empty mapping, as the default does.
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
        """Make the running :meth:`poll`, or else the next one, return at once."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group, so that other members take over at once. Idempotent, never raises."""


class Stream(StorageClient):
    """The stream of one process; made after the fork. Thread-safe, except subscriptions."""

    #: The capabilities of the backend: names of ``CAPABILITIES["stream"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def publish(self, records: Sequence[Record]) -> None:
        """Append records, in order; return when all of them are stored durably.

        Raises:
            StorageUnavailable: some records may have been stored. Publish all again; consumers
                recognise an event by its id.
            StorageError: any other error: the stream refuses a record, for example because it is
                too large. Repeating the call cannot help.
        """

    def publish_each(self, records: Sequence[Record]) -> list[StorageError | None]:
        """Append records, in order; return the error of each, or None if it was stored.

        After StorageUnavailable the record may be published again; any other StorageError is
        final. The default bisects the records until it finds the records that :meth:`publish`
        refuses. Override it if the server answers for each record.
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
        commit its offset.
        """

    @abstractmethod
    def lag(self, topics: Collection[str], group: str) -> int:
        """Return how many records the group has not committed yet."""

    @abstractmethod
    def trim(self) -> int:
        """Delete records beyond the configured retention; return how many were deleted.

        Returns 0 if the server does this by itself.
        """

    def verify(self, topics: Collection[str]) -> None:
        """Check that these topics can be used; called before a process is ready.

        The default does nothing, for backends that create topics when they are first used.

        Raises:
            StorageRefused: a topic is missing, and the deployment does not allow its creation.
            StorageUnavailable: the stream does not answer.
        """
