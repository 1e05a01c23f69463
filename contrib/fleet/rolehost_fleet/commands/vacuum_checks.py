"""What keeps PostgreSQL from removing dead rows: old transactions, and settings of autovacuum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rolehost.storage import Database

#: Seconds after which a transaction is old, and longest pause between two runs of autovacuum.
OLD, PAUSE = 60, 300

# Sessions of other users show their transactions only to members of pg_read_all_stats.
_TRANSACTIONS = """
    SELECT 'session ' || pid || ' (' || application_name || ', ' || state || ')',
        'SELECT pg_terminate_backend(' || pid || ')', began
    FROM (SELECT *, extract(epoch FROM clock_timestamp() - xact_start) AS began
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend') AS sessions
    WHERE began > ?
    UNION ALL SELECT 'prepared transaction ' || gid, 'ROLLBACK PREPARED ' || quote_literal(gid), age
    FROM (SELECT *, extract(epoch FROM clock_timestamp() - prepared) AS age
        FROM pg_prepared_xacts WHERE database = current_database()) AS prepared
    WHERE age > ?
"""
_SETTINGS = """
    SELECT name || ' = ' || setting FROM pg_settings
    WHERE name IN ('autovacuum', 'track_counts') AND setting = 'off'
        OR name = 'autovacuum_naptime' AND CAST(setting AS integer) > ?
    UNION ALL SELECT relname || ': ' || option FROM pg_class, unnest(reloptions) AS option
    WHERE relnamespace = CAST(current_schema() AS regnamespace)
        AND starts_with(relname, 'rolehost_')
        AND option IN ('autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0')
"""


class Found(NamedTuple):
    """A problem: the subject of its line, what it is, and how to fix it."""

    subject: str
    text: str
    fix: str


def problems(database: Database) -> Iterator[Found]:
    """Yield what keeps dead rows, which make the job tables slow. Needs a database session."""
    for what, command, seconds in database.read(_TRANSACTIONS, (OLD, OLD)):
        yield Found(
            "old transaction",
            f"{what} began {float(seconds):.0f} s ago; dead rows stay until it ends",
            f"end it ({command}), and set idle_in_transaction_session_timeout",
        )
    for (setting,) in database.read(_SETTINGS, (PAUSE,)):
        yield Found(
            "autovacuum",
            f"{setting}: dead rows stay, and estimates are wrong",
            "reset it to PostgreSQL's default",
        )
