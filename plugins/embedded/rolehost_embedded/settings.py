"""The settings section ``[embedded]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta
from rolehost.api import Settings

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class EmbeddedSettings(Settings, frozen=True):
    """``[embedded]``; the same in all deployments that share the database file.

    Attributes:
        path: the database file; relative to the deployment file. Its folder is created.
        queue_path: the file of ephemeral messages; None is a file beside ``path``. It is a
            separate file so that sending inside a unit of work does not wait for a lock.
        synchronous: ``full`` survives a power failure, ``normal`` only the death of processes
            (after a power failure the last commits may be missing; nothing is corrupted).
        busy_timeout: seconds that a writer waits for the write lock; then ``StorageBusy``.
        page_cache: bytes of database pages each connection may keep.
        partitions: number of partitions of a topic, fixed at its first use.
        member_lease: seconds after which a consumer that does not poll loses its
            partitions to the other members of its group.
        message_lease: seconds after which a process that does not renew its lease loses the
            ephemeral messages it took; they are delivered again.
        keep_records: seconds for which the stream keeps records.
        keep_records_count: maximum records that the stream keeps in each partition.
        keep_dead_messages: seconds for which rejected ephemeral messages are kept.
        cache_entries: maximum entries of the cache in each process.
        cache_bytes: maximum bytes of the cache in each process: keys, values, and 200 for each
            entry and each of its tags.
    """

    path: Path = Path("rolehost.db")
    queue_path: Path | None = None
    synchronous: Literal["full", "normal"] = "full"
    busy_timeout: Seconds = 5.0
    page_cache: Count = 2_097_152
    partitions: Annotated[int, Meta(ge=1, le=256)] = 8
    member_lease: Seconds = 10.0
    message_lease: Seconds = 30.0
    keep_records: Seconds = 604_800.0
    keep_records_count: Count = 1_000_000
    keep_dead_messages: Seconds = 604_800.0
    cache_entries: Count = 10_000
    cache_bytes: Count = 33_554_432

    @property
    def messages_path(self) -> Path:
        """The file that carries ephemeral messages."""
        if self.queue_path is not None:
            return self.queue_path
        return self.path.with_name(f"{self.path.stem}-queue{self.path.suffix}")
