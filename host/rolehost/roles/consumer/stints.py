"""The partitions that a member owns, from when it gets each until it gives it up."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence

from rolehost.roles.consumer.offsets import Offsets
from rolehost.storage import Delivery, Partition


class Stint:
    """One partition while it is owned; when it is owned again, that is another stint.

    Attributes:
        offsets: what was taken and finished.
        careful: how many of the next records are to be handled carefully, for they may have
            been in flight when a process died.
        running: how many records are being handled at this moment.
        gone: set when it is given up: what has not begun must not begin.
    """

    __slots__ = ("careful", "gone", "offsets", "running")

    def __init__(self, careful: int = 0) -> None:
        self.offsets = Offsets()
        self.careful = careful
        self.running = 0
        self.gone = threading.Event()


#: A record that was taken, the stint in which it was, and whether to be careful.
Taken = tuple[Delivery, Stint, bool]


class Stints:
    """What one member owns and has in flight; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._owned: dict[Partition, Stint] = {}
        self._dirty: dict[Partition, Stint] = {}
        #: Records that were taken and are not settled.
        self.flying = 0

    def begin(self, partitions: Collection[Partition], careful: int) -> None:
        """Own partitions from now on."""
        with self._changed:
            for partition in partitions:
                self._owned[partition] = Stint(careful)

    def partitions(self) -> list[Partition]:
        """Return what is owned."""
        with self._changed:
            return list(self._owned)

    def take(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        """Note records that are to be handled."""
        taken = []
        with self._changed:
            owned = self._owned
            for delivery in deliveries:
                stint = owned.get(delivery.partition)
                if stint is None:
                    stint = owned[delivery.partition] = Stint()
                stint.offsets.take(delivery.offset)
                careful = stint.careful > 0
                if careful:
                    stint.careful -= 1
                taken.append((delivery, stint, careful))
            self.flying += len(deliveries)
        return taken

    def start(self, taken: Iterable[Taken]) -> list[Taken]:
        """Note that records are being handled from now on; return those that still may be.

        The others are settled: their partition was given up.
        """
        kept = []
        with self._changed:
            for each in taken:
                stint = each[1]
                if stint.gone.is_set():
                    self.flying -= 1
                else:
                    stint.running += 1
                    kept.append(each)
            if not kept:
                self._changed.notify_all()
        return kept

    def settle(self, taken: Iterable[Taken], done: bool) -> None:
        """Note that records are not being handled any more; ``done``: they are finished."""
        with self._changed:
            for delivery, stint, _ in taken:
                stint.running -= 1
                self.flying -= 1
                if done and stint.offsets.finish(delivery.offset):
                    self._dirty[delivery.partition] = stint
            self._changed.notify_all()

    def await_flying(self, most: int, timeout: float) -> bool:
        """Wait until at most so many records are in flight; say whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: self.flying <= most, timeout)

    def release(self, partitions: Collection[Partition], timeout: float) -> bool:
        """Begin nothing more of some partitions; wait for what is being handled.

        Returns:
            Whether all of it ended within ``timeout`` seconds.
        """
        with self._changed:
            stints = [self._owned[each] for each in partitions if each in self._owned]
            for stint in stints:
                stint.gone.set()
            return self._changed.wait_for(
                lambda: not any(stint.running for stint in stints), timeout
            )

    def forget(self, partitions: Collection[Partition]) -> None:
        """Own partitions no longer; what is still being handled there finishes unnoticed."""
        with self._changed:
            for partition in partitions:
                self._owned.pop(partition, None)
                self._dirty.pop(partition, None)

    def committable(self) -> dict[Partition, int]:
        """Return the offsets that have moved since they were committed."""
        with self._changed:
            return {
                partition: stint.offsets.committable
                for partition, stint in self._dirty.items()
                if self._owned.get(partition) is stint and stint.offsets.committable is not None
            }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Note that offsets are stored."""
        with self._changed:
            for partition, offset in offsets.items():
                stint = self._dirty.get(partition)
                if stint is not None and stint.offsets.committable == offset:
                    del self._dirty[partition]
