"""Applies migrations and reverts them: one at a time, each in its own transaction.

A migration waits for a lock only briefly and then tries again (a short *lock timeout* with
retries). Otherwise it would block the service, because every later statement that needs a
conflicting lock waits behind it (*lock queue*).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rolehost.errors import Problem, StartError, StorageBusy, StorageUnavailable
from rolehost.schema import history
from rolehost.schema.files import Migration, Phase, SchemaError, Set, load
from rolehost.schema.history import Applied, History
from rolehost.storage import Database, Transaction

#: How often a migration is tried while other transactions hold locks that it needs, and the seconds
#: between tries: the first and the longest pause; a pause is twice the one before it. About five
#: minutes, without the lock timeouts.
_TRIES, _FIRST_PAUSE, _MAX_PAUSE = 36, 0.25, 10.0


def pending(
    database: Database, sets: Iterable[Set], *, phase: Phase | None = None
) -> tuple[Migration, ...]:
    """Return the migrations that :func:`up` would apply, in its order. Raises SchemaError."""
    return _pending(load(sets, database.dialect), history.read(database), phase)


def require_pre(database: Database, sets: Iterable[Set], command: str) -> None:
    """Raise StartError if migrations of the phase *pre* are pending.

    The message lists the files, and ``command``, which applies them.
    """
    waiting = pending(database, sets, phase="pre")
    if waiting:
        locations = ", ".join(migration.location for migration in waiting)
        raise StartError(
            f"{len(waiting)} migrations are pending ({locations}): run {command} first"
        )


def require_known_post(database: Database, sets: Iterable[Set]) -> None:
    """Raise StartError if the schema has migrations of the phase *post* that have no file here.

    Code that is older than such a migration does not work on its schema.
    """
    unknown = history.compare(load(sets, database.dialect), history.read(database)).too_new
    if unknown:
        raise StartError(
            f"the schema is newer than this code, which does not know the migrations"
            f" {', '.join(unknown)}: install a newer version, or revert them with that version"
        )


def up(
    database: Database,
    sets: Iterable[Set],
    *,
    phase: Phase | None = None,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], object] = time.sleep,
) -> tuple[Migration, ...]:
    """Apply and return the pending migrations, of one phase or of both (None).

    ``sets`` are in the order of their dependencies. If several processes call it at once, one does
    the work. If a migration fails, its transaction is rolled back, and the migrations before it
    stay applied. Raises SchemaError if a file is invalid or was changed after it was applied, or if
    a statement failed; StorageBusy if others held the locks of a migration in every try.
    """
    migrations = load(sets, database.dialect)

    def note(transaction: Transaction, migration: Migration) -> None:
        history.add(transaction, migration, int(now() * 1000))

    with database.migration_lock():
        history.create(database)
        todo = _pending(migrations, history.read(database), phase)
        for migration in todo:
            with _named(migration, "up"):
                _run(database, migration, migration.up, pause, note)
    return todo


def last(database: Database, owned: Set, steps: int) -> tuple[str, ...]:
    """Return the labels of the migrations that :func:`down` would revert, newest first."""
    return tuple(row.label for row in _newest(history.read(database), owned, steps))


def _newest(applied: History, owned: Set, steps: int) -> list[Applied]:
    return sorted((row for row in applied.values() if row.owner == owned[0]), reverse=True)[:steps]


def down(
    database: Database,
    owned: Set,
    *,
    steps: int = 1,
    pause: Callable[[float], object] = time.sleep,
) -> tuple[Migration, ...]:
    """Revert the last migrations of one owner, newest first, and return them.

    If ``steps`` exceeds the applied migrations, all are reverted; if it is less than 1, ValueError
    is raised. Other errors are as in :func:`up`; SchemaError is also raised if a file is gone.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    known = {m.number: m for m in load([owned], database.dialect)}
    done: list[Migration] = []
    with database.migration_lock():
        applied = history.read(database)
        for row in _newest(applied, owned, steps):
            if row.number not in known:
                raise SchemaError([_gone(row)])
            migration = known[row.number]
            _refuse_changed([migration], applied)
            with _named(migration, "down"):
                _run(database, migration, migration.down, pause, history.remove)
            done.append(migration)
    return tuple(done)


def _run(
    database: Database,
    migration: Migration,
    statements: Sequence[str],
    pause: Callable[[float], object],
    note: Callable[[Transaction, Migration], None],
) -> None:
    """Run the statements and record the migration; try again while others hold the locks."""
    for attempt in range(_TRIES):
        try:
            with database.session():
                if migration.alone:
                    for statement in statements:
                        database.migration_statement(statement)
                with database.migration_transaction() as transaction:
                    for statement in () if migration.alone else statements:
                        transaction.execute(statement)
                    note(transaction, migration)
            return
        except StorageBusy:
            if attempt + 1 == _TRIES:
                raise
            pause(min(_FIRST_PAUSE * 2**attempt, _MAX_PAUSE))


def _pending(
    migrations: Sequence[Migration], applied: History, phase: Phase | None
) -> tuple[Migration, ...]:
    _refuse_changed(migrations, applied)
    return tuple(
        migration
        for migration in migrations
        if (migration.owner, migration.number) not in applied and phase in (None, migration.phase)
    )


def _refuse_changed(migrations: Sequence[Migration], applied: History) -> None:
    problems = [
        Problem(
            code="migration-changed",
            who=migration.owner,
            where=migration.location,
            what=f"{migration.label} was changed after it had been applied",
            expected=f"{row.name}, checksum {row.checksum[:12]}",
            got=f"{migration.name}, checksum {migration.checksum[:12]}",
            fix="restore the file, and put the change into a new migration",
        )
        for migration in migrations
        if (row := applied.get((migration.owner, migration.number))) and not row.is_same(migration)
    ]
    if problems:
        raise SchemaError(problems)


@contextmanager
def _named(migration: Migration, direction: str) -> Iterator[None]:
    """Name the migration in the error of a statement.

    StorageUnavailable passes unchanged, except StorageBusy.
    """
    try:
        yield
    except StorageBusy as error:
        raise StorageBusy(f"{migration.label} ({direction}): {error}") from error
    except StorageUnavailable:
        raise
    except Exception as error:
        kept = "the statements before it stay" if migration.alone else "it was rolled back"
        problem = Problem(
            code="migration-failed",
            who=migration.owner,
            where=migration.location,
            what=f"{migration.label} failed ({direction}); {kept}",
            expected="statements that this database accepts",
            got=str(error),
            fix="fix the statement and run the command again",
        )
        raise SchemaError([problem]) from error


def _gone(row: Applied) -> Problem:
    return Problem(
        code="migration-gone",
        who=row.owner,
        where=f"table {history.TABLE}",
        what=f"{row.label} was applied, but its file is not here",
        expected="the version of the plugin that applied it, or a newer one",
        got="no file of this number",
        fix="revert it with that version",
    )
