"""Bodies of ``/event-type``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rolehost_webhooks.models import EventType
from rolehost_webhooks.rules import Name, Prose
from rolehost_webhooks.schemas.common import Body, PageQuery, moment, or_absent

Schemas = dict[str, Any]


class _FeatureFlags(Body, kw_only=True):
    """Several flags, or one in the open server's field ``featureFlag``."""

    feature_flags: list[Name] | UnsetType | None = UNSET
    feature_flag: Name | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Convert a single flag to a list.

        Raises:
            ValueError: both fields are given, and the list lacks the flag.
        """
        if self.feature_flag is UNSET:
            return
        if not self.feature_flags:
            self.feature_flags = None if self.feature_flag is None else [self.feature_flag]
        elif self.feature_flag is not None and self.feature_flag not in self.feature_flags:
            raise ValueError("featureFlag must be one of featureFlags, or be left out")
        self.feature_flag = UNSET


class EventTypePut(_FeatureFlags, kw_only=True):
    """Fields of a replaced event type."""

    description: Prose
    archived: bool | None = None
    deprecated: bool | None = None
    schemas: Schemas | None = None
    group_name: Name | None = None


class EventTypeIn(EventTypePut, kw_only=True):
    """Fields of a new event type."""

    name: Name


class EventTypePatch(_FeatureFlags, kw_only=True):
    """Changed fields of an event type."""

    description: Prose | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: Schemas | UnsetType | None = UNSET
    group_name: Name | UnsetType | None = UNSET


class EventTypeOut(Body, kw_only=True):
    """An event type; ``feature_flag`` is the first of ``feature_flags``.

    ``group_name`` and ``feature_flags``, which the open server lacks, are absent if unset.
    """

    name: str
    description: str
    archived: bool
    deprecated: bool
    schemas: Schemas | None
    group_name: str | UnsetType
    feature_flag: str | None
    feature_flags: list[str] | UnsetType
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: EventType, *, with_content: bool = True) -> EventTypeOut:
        """Convert a row, with or without its schemas."""
        return cls(
            name=row.name,
            description=row.description,
            archived=bool(row.archived),
            deprecated=bool(row.deprecated),
            schemas=row.schemas if with_content else None,
            group_name=or_absent(row.group_name),
            feature_flag=row.feature_flags[0] if row.feature_flags else None,
            feature_flags=or_absent(row.feature_flags),
            created_at=moment(row.created_at),
            updated_at=moment(row.updated_at),
        )


class EventTypeListQuery(PageQuery, kw_only=True):
    """Query parameters of the listing."""

    include_archived: bool = False
    with_content: bool = False


class DeleteEventTypeQuery(msgspec.Struct):
    """``expunge`` removes the event type; by default it is archived."""

    expunge: bool = False
