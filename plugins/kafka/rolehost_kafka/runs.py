"""Divides records into runs that a broker takes or refuses for their own size alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rolehost.api import Record, StorageError, StorageUnavailable

#: For each record why it was not stored, None if it was.
Outcomes = list[StorageError | None]

#: Bytes that a batch has besides its records (KIP-98, record batch of format 2), and the most
#: that a record has besides key, value and headers: its lengths, offset and time.
_BATCH, _RECORD, _HEADER = 61, 36, 10


def size(record: Record) -> int:
    """Return how many bytes a record takes at most, uncompressed."""
    return (
        _RECORD
        + len(record.value)
        + len(record.key or b"")
        + sum(len(name) * 4 + len(value) + _HEADER for name, value in record.headers)
    )


def runs(
    records: Sequence[Record], limit: Callable[[str], int], batch_bytes: int
) -> Iterator[list[int]]:
    """Yield places of records, in order, that can be on their way at once.

    Brokers refuse a batch as a whole that is larger than the topic allows, and a batch that is
    refused is overtaken by those after it. A record that may be too large is therefore a run of
    its own, and no run has more bytes than the topic allows if a batch could have more.

    Args:
        records: what is to be published.
        limit: returns the most bytes of a batch of a topic.
        batch_bytes: most bytes of a batch that the client makes.
    """
    run: list[int] = []
    bytes_ = _BATCH
    for place, record in enumerate(records):
        most, needed = limit(record.topic), size(record)
        alone = needed + _BATCH > most
        if run and (alone or (batch_bytes > most and bytes_ + needed > most)):
            yield run
            run, bytes_ = [], _BATCH
        if alone:
            yield [place]
            continue
        run.append(place)
        bytes_ += needed
    if run:
        yield run


def publish_runs(
    records: Sequence[Record],
    limit: Callable[[str], int],
    batch_bytes: int,
    send: Callable[[Sequence[int], Outcomes], None],
) -> Outcomes:
    """Publish records in runs, one after the other; return what became of each record.

    Args:
        records: what is to be published.
        limit: returns the most bytes of a batch of a topic.
        batch_bytes: most bytes of a batch that the client makes.
        send: sends the records of some places, and notes at these what became of them; raises
            StorageUnavailable if it sent nothing.
    """
    outcomes: Outcomes = [None] * len(records)

    def attempt(run: Sequence[int]) -> None:
        try:
            send(run, outcomes)
        except StorageUnavailable as error:
            for place in run:
                outcomes[place] = error

    for run in runs(records, limit, batch_bytes):
        attempt(run)
        failed = [place for place in run if outcomes[place] is not None]
        if len(run) > 1 and not any(passing(outcomes[place]) for place in failed):
            # Brokers refuse a batch for one of its records: each is sent alone.
            for place in failed:
                attempt([place])
        failure = next((outcomes[place] for place in run if passing(outcomes[place])), None)
        if failure is not None:
            # What comes later must not overtake it.
            for place in range(run[-1] + 1, len(records)):
                outcomes[place] = failure
            break
    return outcomes


def passing(error: StorageError | None) -> bool:
    """Whether what failed may succeed at another time."""
    return isinstance(error, StorageUnavailable)
