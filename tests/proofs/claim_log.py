"""Every claim of a ledger with its beginning and its end, written by triggers of the database.

A claim begins with the statement that takes the job. It ends when the transaction that gives the
job back is committed, because only then others may take the place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.proofs.ledgers import Ledger

_HELD = "state IN ('claimed', 'running')"
_COLUMNS = "job, held, actor, queue, part, owner, at"
_VALUES = (
    f"NEW.id, CASE WHEN NEW.{_HELD} THEN 1 ELSE 0 END, NEW.actor, NEW.queue,"
    " coalesce(NEW.partition, NEW.key), coalesce(NEW.owner, '')"
)

#: PostgreSQL needs ``track_commit_timestamp`` for the times of commits.
POSTGRES_PARAMETERS = {"track_commit_timestamp": True}
_POSTGRES = (
    "CREATE TABLE proof_claims (id BIGINT GENERATED ALWAYS AS IDENTITY, job BIGINT, held INTEGER,"
    " actor TEXT, queue TEXT, part TEXT, owner TEXT, at DOUBLE PRECISION)",
    "CREATE FUNCTION proof_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    f" INSERT INTO proof_claims ({_COLUMNS}) VALUES ({_VALUES},"
    " extract(epoch FROM clock_timestamp())); RETURN NULL; END $$",
    "CREATE TRIGGER proof_claim AFTER UPDATE OF state ON rolehost_jobs FOR EACH ROW"
    f" WHEN ((OLD.{_HELD}) <> (NEW.{_HELD})) EXECUTE FUNCTION proof_claim()",
)
_SQLITE = (
    "CREATE TABLE proof_claims (id INTEGER PRIMARY KEY, job INTEGER, held INTEGER, actor TEXT,"
    " queue TEXT, part TEXT, owner TEXT, at REAL)",
    "CREATE TRIGGER proof_claim AFTER UPDATE OF state ON rolehost_jobs"
    f" WHEN (OLD.{_HELD}) <> (NEW.{_HELD}) BEGIN"
    f" INSERT INTO proof_claims ({_COLUMNS}) VALUES ({_VALUES},"
    " (julianday('now') - 2440587.5) * 86400.0); END",
)
#: The order of rows: on PostgreSQL a claim counts from its statement, an end from its commit. On
#: SQLite one process writes at a time, so the ids have the order of the transactions.
_READ = {
    "postgres": (
        "SELECT job, held, actor, queue, part, owner, at, CASE held WHEN 1 THEN at"
        " ELSE extract(epoch FROM pg_xact_commit_timestamp(xmin)) END"
        " FROM proof_claims ORDER BY id"
    ),
    "sqlite": (
        "SELECT job, held, actor, queue, part, owner, at, CAST(id AS REAL)"
        " FROM proof_claims ORDER BY id"
    ),
}


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
    """

    actor: str
    queue: str
    partition: str | None
    owner: str
    began: float
    ended: float
    at: float


def install(ledger: Ledger) -> None:
    """Create the log and its triggers."""
    ledger.execute(*(_POSTGRES if ledger.engine == "postgres" else _SQLITE))


def claims(ledger: Ledger) -> list[Claim]:
    """Return all claims so far."""
    found: list[Claim] = []
    open_claims: dict[int, int] = {}
    for job, held, actor, queue, partition, owner, at, order in ledger.execute(
        _READ[ledger.engine]
    ):
        if held:
            open_claims[job] = len(found)
            found.append(Claim(actor, queue, partition, owner, order, float("inf"), at))
        else:
            place = open_claims.pop(job)
            found[place] = found[place]._replace(ended=order)
    return found


def most(claimed: Iterable[Claim], count: Callable[[Mapping[str, int]], int]) -> int:
    """Return the largest number of claims at the same time.

    ``count`` gets the number of claims of each owner and returns what counts of it.
    """
    moments = [(each.began, 1, each.owner) for each in claimed]
    moments += [(each.ended, 0, each.owner) for each in claimed]
    held: dict[str, int] = defaultdict(int)
    largest = 0
    # An end is before a beginning of the same time.
    for _, begins, owner in sorted(moments):
        held[owner] += 1 if begins else -1
        if not held[owner]:
            del held[owner]
        largest = max(largest, count(held))
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
    count: Callable[[Mapping[str, int]], int] = len if limit == 1 else _jobs
    return max((most(each, count) for each in groups.values()), default=limit) - limit


def _jobs(held: Mapping[str, int]) -> int:
    return sum(held.values())


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
