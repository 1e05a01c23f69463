"""Divides records into runs, so that a broker refuses a record only for its own size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rolehost.api import Record, StorageError, StorageUnavailable

#: The error of each record; None if it was stored.
Outcomes = list[StorageError | None]

#: Bytes of a batch besides its records (KIP-98, record batch of format 2), and the most bytes of a
#: record besides key, value and headers: its lengths, offset and time.
_BATCH, _RECORD, _HEADER = 61, 36, 10


def size_of(record: Record) -> int:
    """Return the maximum bytes of a record, uncompressed."""
    return (
        _RECORD
        + len(record.value)
        + len(record.key or b"")
        + sum(len(name) * 4 + len(value) + _HEADER for name, value in record.headers)
    )


def runs(
    records: Sequence[Record], limit: Callable[[str], int], batch_bytes: int
) -> Iterator[list[int]]:
    """Yield indexes of records, in order, that can be sent together.

    Brokers refuse a whole batch if it is larger than the topic allows, and the batches after it
    overtake it. So a record that may be too large is a separate run, and no run has more bytes
    than the topic allows if a batch could have more.

    Args:
        records: the records to publish.
        limit: returns the maximum bytes of a batch of a topic.
        batch_bytes: maximum bytes of a batch of the client.
    """
    run: list[int] = []
    bytes_ = _BATCH
    for index, record in enumerate(records):
        most, needed = limit(record.topic), size_of(record)
        alone = needed + _BATCH > most
        if run and (alone or (batch_bytes > most and bytes_ + needed > most)):
            yield run
            run, bytes_ = [], _BATCH
        if alone:
            yield [index]
            continue
        run.append(index)
        bytes_ += needed
    if run:
        yield run


def publish_runs(
    records: Sequence[Record],
    limit: Callable[[str], int],
    batch_bytes: int,
    send: Callable[[Sequence[int], Outcomes], None],
) -> Outcomes:
    """Publish records in runs, one after the other; return the outcome of each record.

    Args:
        records: the records to publish.
        limit: returns the maximum bytes of a batch of a topic.
        batch_bytes: maximum bytes of a batch of the client.
        send: sends the records of some indexes, and stores their outcomes; raises
            StorageUnavailable if it sent nothing.
    """
    outcomes: Outcomes = [None] * len(records)

    def attempt(run: Sequence[int]) -> None:
        try:
            send(run, outcomes)
        except StorageUnavailable as error:
            for index in run:
                outcomes[index] = error

    for run in runs(records, limit, batch_bytes):
        attempt(run)
        failed = [index for index in run if outcomes[index] is not None]
        if len(run) > 1 and not any(is_temporary(outcomes[index]) for index in failed):
            # Brokers refuse a batch because of one of its records, so each is sent alone.
            for index in failed:
                attempt([index])
        failure = next((outcomes[index] for index in run if is_temporary(outcomes[index])), None)
        if failure is not None:
            # Later records must not overtake a failed one.
            for index in range(run[-1] + 1, len(records)):
                outcomes[index] = failure
            break
    return outcomes


def is_temporary(error: StorageError | None) -> bool:
    """Return whether a record that failed may succeed later."""
    return isinstance(error, StorageUnavailable)
