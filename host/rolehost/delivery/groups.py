"""Group commit: short units of work share a transaction, each behind a *savepoint*.

1. The members of a group run one after another, in one thread and on one connection.
2. If a member fails, the group rolls back to its savepoint before the next member begins.
3. Wake-ups, callbacks and reports of the members wait for the shared commit.
4. If the group fails as a whole (a deadlock, a lock that does not become free, a lost connection,
   a failed commit, a lost claim), nothing of it is written, and each member runs again alone.

Constraints that are checked at the commit fail the group, because a check at the end of each
member (``SET CONSTRAINTS``) would hold for the members after it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Self

from rolehost import failpoints
from rolehost.delivery.guard import Unit
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.work import Work
from rolehost.storage import Transaction

#: Maximum number of savepoints in a group, those of ``atomic()`` included. PostgreSQL keeps 64
#: subtransactions of a transaction in memory; with more, snapshots of all sessions become slow.
MOST_SAVEPOINTS = 50

#: Milliseconds that a statement of a member waits for a lock, on PostgreSQL. It is shorter than
#: the server's ``deadlock_timeout``, because a group holds the locks of all its members.
LOCK_MILLISECONDS = 500


class GroupFailed(Exception):
    """The group cannot commit and is rolled back; each member must run alone."""


class Group:
    """A transaction that several members share; the first that needs it begins it.

    Any error in ``with group:`` rolls the group back and is raised as GroupFailed, except the Crash
    of a failpoint, which is raised as it is.
    """

    def __init__(self, runtime: DeliveryRuntime) -> None:
        self._runtime = runtime
        self._postgres = runtime.database.dialect == "postgresql"
        self._context: AbstractContextManager[Transaction] | None = None
        self._transaction: Transaction | None = None
        self._savepoint = ""  # the name of the open savepoint
        self._undone = False  # whether nothing was written since the savepoint
        self._savepoints = 0
        self._limited = False  # whether waits for locks are limited
        #: The units of work of members that succeeded.
        self.works: list[Work] = []
        #: Reports of members, to be called after the commit.
        self.reports: list[Callable[[], object]] = []
        #: Why the group cannot commit, or None.
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        self.roll_back()
        if not isinstance(error, (GroupFailed, failpoints.Crash)):
            raise GroupFailed from error

    @property
    def full(self) -> bool:
        """Whether the group must commit before another member runs."""
        return self._savepoints >= MOST_SAVEPOINTS

    def join(self, unit: Unit) -> AbstractContextManager[Transaction]:
        """Return the context of a member's part of the transaction."""
        return _Part(self, unit)

    def begin_part(self) -> Transaction:
        """Begin a member's part; the first one begins the transaction."""
        if self._transaction is None:
            context = self._runtime.database.transaction()
            self._transaction, self._context = context.__enter__(), context
            self._execute(f"SAVEPOINT {self._next_savepoint()}")
        elif not self._undone:
            statements = []
            if self._savepoint and not self._limited:
                # PERF: on PostgreSQL only the first savepoint is released. The others contain each
                # other until the commit, which costs less. SQLite would write more for each page.
                statements.append(f"RELEASE SAVEPOINT {self._savepoint}")
            if self._postgres and not self._limited:
                # Set from the second member on: the first one waits like an ungrouped unit of
                # work. Set before the savepoint: a rollback to it would undo the setting.
                self._limited = True
                statements.append(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
            statements.append(f"SAVEPOINT {self._next_savepoint()}")
            if self._postgres:  # PERF: one round trip; SQLite's driver takes one statement only
                statements = [";".join(statements)]
            for each in statements:
                self._execute(each)
        self._undone = False
        return self._transaction

    def _next_savepoint(self) -> str:
        # Names are unique, so that a rollback cannot hit the savepoint of another member.
        self._savepoint = f"member{self._savepoints}"
        return self._savepoint

    def release(self) -> None:
        """Release the savepoint now. Raises TransactionAborted if a statement had failed."""
        assert self._transaction is not None  # a part has begun
        self._transaction.execute(f"RELEASE SAVEPOINT {self._savepoint}")
        self._savepoint = ""

    def end_part(self, unit: Unit, *, undo: bool) -> None:
        """End a member's part, and undo its writes if it failed."""
        self._savepoints += 1 + unit.savepoints
        unit.savepoints = 0
        if undo and self.failure is None:
            self._execute(f"ROLLBACK TO SAVEPOINT {self._savepoint}")
            self._undone = True

    def fail(self, error: BaseException) -> None:
        """Record that the group cannot commit."""
        self.failure = self.failure or error

    def _execute(self, statement: str) -> None:
        assert self._transaction is not None  # a part has begun
        try:
            self._transaction.execute(statement)
        except BaseException as error:
            self.fail(error)
            raise

    def commit(self, last: Callable[[Transaction], bool] = lambda _transaction: True) -> bool:
        """Commit; return False if no member has begun the transaction.

        ``last`` runs the last statements. Raises GroupFailed if it returns False.
        """
        if self.failure is not None:
            raise GroupFailed from self.failure
        transaction, context = self._transaction, self._context
        if transaction is None or context is None:
            return False
        for work in self.works:
            work.flush()
        failpoints.reach("work.before_commit")
        if not last(transaction):
            raise GroupFailed("the claim of a member was lost")
        self._transaction = self._context = None
        context.__exit__(None, None, None)
        failpoints.reach("work.after_commit")
        return True

    def roll_back(self) -> None:
        """Roll back, if the transaction was begun and not ended."""
        context, self._transaction, self._context = self._context, None, None
        if context is not None:
            with suppress(Exception):  # without a connection, the server rolls back
                context.__exit__(GroupFailed, GroupFailed(), None)

    def report(self) -> None:
        """Send wake-ups and run callbacks and reports; called after the commit."""
        for work in self.works:
            work.run_after_commit()
        for each in self.reports:
            each()


class _Part(AbstractContextManager[Transaction]):
    """A member's part of the transaction, from its savepoint to its end."""

    __slots__ = ("_group", "_unit")

    def __init__(self, group: Group, unit: Unit) -> None:
        self._group = group
        self._unit = unit

    def __enter__(self) -> Transaction:
        return self._group.begin_part()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._group.end_part(self._unit, undo=error is not None)
