"""Every claim of a ledger with its beginning and its end, written by triggers of the database.

A claim begins with the statement that takes the job. It ends when the transaction that gives the
job back is committed, because only then others may take the place; claims of the same transaction
may take it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from tests.proofs.ledgers import Ledger

INFINITE = float("inf")

_HELD = "state IN ('claimed', 'running')"
_COLUMNS = "job, held, actor, queue, part, owner, at, tx"
_VALUES = (
    f"NEW.id, CASE WHEN NEW.{_HELD} THEN 1 ELSE 0 END, NEW.actor, NEW.queue,"
    " coalesce(NEW.partition, NEW.key), coalesce(NEW.owner, '')"
)

#: PostgreSQL needs ``track_commit_timestamp`` for the times of commits.
POSTGRES_PARAMETERS = {"track_commit_timestamp": True}
_POSTGRES = (
    "CREATE TABLE proof_claims (id BIGINT GENERATED ALWAYS AS IDENTITY, job BIGINT, held INTEGER,"
    " actor TEXT, queue TEXT, part TEXT, owner TEXT,"
    " at DOUBLE PRECISION, tx BIGINT)",
    "CREATE FUNCTION proof_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    f" INSERT INTO proof_claims ({_COLUMNS}) VALUES ({_VALUES},"
    " extract(epoch FROM clock_timestamp()), txid_current()); RETURN NULL; END $$",
    "CREATE TRIGGER proof_claim AFTER UPDATE OF state ON rolehost_jobs FOR EACH ROW"
    f" WHEN ((OLD.{_HELD}) <> (NEW.{_HELD})) EXECUTE FUNCTION proof_claim()",
)
_SQLITE = (
    "CREATE TABLE proof_claims (id INTEGER PRIMARY KEY, job INTEGER, held INTEGER, actor TEXT,"
    " queue TEXT, part TEXT, owner TEXT, at REAL, tx INTEGER)",
    "CREATE TRIGGER proof_claim AFTER UPDATE OF state ON rolehost_jobs"
    f" WHEN (OLD.{_HELD}) <> (NEW.{_HELD}) BEGIN"
    f" INSERT INTO proof_claims ({_COLUMNS}) VALUES ({_VALUES},"
    " (julianday('now') - 2440587.5) * 86400.0, 0); END",
)
#: The transaction of a row, and the place of a row in the order of claims and ends. On PostgreSQL a
#: claim counts from its statement, an end from its commit. On SQLite one process writes at a time,
#: so the ids have the order of the transactions.
_ORDER = {
    "postgres": (
        "tx, CASE held WHEN 1 THEN at ELSE extract(epoch FROM pg_xact_commit_timestamp(xmin)) END"
    ),
    "sqlite": "id, CAST(id AS REAL)",
}
_READ = "SELECT job, held, actor, queue, part, owner, at, {order} FROM proof_claims ORDER BY id"


class Claim(NamedTuple):
    """One claim of a job.

    Attributes:
        actor: its actor.
        queue: its queue.
        partition: its partition, or its key; None without one.
        owner: the process that held it.
        began: its place in the order of claims and ends.
        ended: likewise; infinite if the job is still held.
        at: when it began, in seconds of the database's clock.
        began_in: the transaction in which it began.
        ended_in: the transaction in which it ended; 0 if the job is still held.
    """

    actor: str
    queue: str
    partition: str | None
    owner: str
    began: float
    ended: float
    at: float
    began_in: int
    ended_in: int = 0


def install(ledger: Ledger) -> None:
    """Create the log and its triggers."""
    ledger.execute(*(_POSTGRES if ledger.engine == "postgres" else _SQLITE))


def claims(ledger: Ledger) -> list[Claim]:
    """Return all claims so far."""
    found: list[Claim] = []
    last: dict[int, int] = {}  # the claim of each held job
    for job, held, actor, queue, partition, owner, at, tx, order in ledger.execute(
        _READ.format(order=_ORDER[ledger.engine])
    ):
        if held:
            last[job] = len(found)
            found.append(Claim(actor, queue, partition, owner, order, INFINITE, at, tx))
        else:
            place = last.pop(job)
            found[place] = found[place]._replace(ended=order, ended_in=tx)
    return found


def most(claimed: Iterable[Claim], count: Callable[[Collection[Claim]], int]) -> int:
    """Return the largest number at the same time; ``count`` says what counts of these claims."""
    moments = [(each.began, 1, each) for each in claimed]
    moments += [(each.ended, 0, each) for each in claimed if each.ended != INFINITE]
    held: list[Claim] = []
    largest = 0
    # An end is before a beginning of the same time.
    for _, begins, claim in sorted(moments, key=itemgetter(0, 1)):
        if begins:
            held.append(claim)
            largest = max(
                largest, count([each for each in held if each.ended_in != claim.began_in])
            )
        else:
            held.remove(claim)
    return largest


def excess(
    claimed: Iterable[Claim],
    group: Callable[[Claim], Hashable],
    limit: int,
) -> int:
    """Return by how many claims a group was above its limit at most; 0 or less: never.

    A partition of one may be claimed for several jobs by one process, which runs them one after
    the other. For a limit of 1, processes are counted and not jobs.
    """
    groups: dict[Hashable, list[Claim]] = defaultdict(list)
    for each in claimed:
        groups[group(each)].append(each)
    count: Callable[[Collection[Claim]], int] = _owners if limit == 1 else len
    return max((most(each, count) for each in groups.values()), default=limit) - limit


def _owners(held: Collection[Claim]) -> int:
    return len({each.owner for each in held})


def rate_excess(claimed: Iterable[Claim], rate: float, burst: int, tolerance: float) -> float:
    """Return by how many claims a rate was exceeded at most; 0 or less: never.

    Args:
        claimed: claims that share the rate.
        rate: claims per second.
        burst: claims that may come at once.
        tolerance: seconds by which the time of a claim in the log may be wrong.
    """
    times = sorted(each.at for each in claimed)
    # In [a, b] there may be burst + rate × (b - a) claims, so index - rate × time must not rise by
    # burst or more: the lowest value so far decides.
    lowest, largest = float("inf"), 0.0
    for index, at in enumerate(times):
        lowest = min(lowest, index - rate * at)
        largest = max(largest, index - rate * at - lowest + 1)
    return largest - burst - rate * tolerance


def overlaps(runs: Sequence[tuple[float, float]]) -> int:
    """Return how many of these runs (beginning, end) begin before an earlier one has ended."""
    found, latest = 0, float("-inf")
    for began, ended in sorted(runs):
        found += began < latest
        latest = max(latest, ended)
    return found
