"""Says of every migration whether the database has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rolehost.schema import history
from rolehost.schema.files import Set, load
from rolehost.storage import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One line of ``rolehost migrate status``.

    Attributes:
        owner: the plugin, or ``rolehost``.
        number: position in the owner's set.
        name: what it does.
        phase: ``pre`` or ``post``.
        state: ``pending``; ``applied``; ``changed``: the file is not what was applied;
            ``gone``: applied, but no enabled plugin has the file.
        applied_at: milliseconds since the epoch; None when pending.
    """

    owner: str
    number: int
    name: str
    phase: str
    state: Literal["pending", "applied", "changed", "gone"]
    applied_at: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict, for ``--json``."""
        return asdict(self)


def status(database: Database, sets: Iterable[Set]) -> tuple[MigrationStatus, ...]:
    """List the migrations of the sets in their order, then applied ones without a file.

    Changes nothing.

    Raises:
        SchemaError: files are wrong.
        StorageUnavailable: the database cannot be reached.
    """
    applied = history.read(database)
    lines = []
    for migration in load(sets, database.dialect):
        row = applied.pop((migration.owner, migration.number), None)
        state: Literal["pending", "applied", "changed"] = "pending"
        if row is not None:
            same = (row.checksum, row.name) == (migration.checksum, migration.name)
            state = "applied" if same else "changed"
        lines.append(
            MigrationStatus(
                owner=migration.owner,
                number=migration.number,
                name=migration.name,
                phase=migration.phase,
                state=state,
                applied_at=row.applied_at if row else None,
            )
        )
    for row in sorted(applied.values()):
        lines.append(
            MigrationStatus(
                owner=row.owner,
                number=row.number,
                name=row.name,
                phase=row.phase,
                state="gone",
                applied_at=row.applied_at,
            )
        )
    return tuple(lines)
