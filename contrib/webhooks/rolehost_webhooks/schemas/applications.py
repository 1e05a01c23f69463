"""Bodies of ``/app``."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from rolehost_webhooks.models import Application
from rolehost_webhooks.rules import Name
from rolehost_webhooks.schemas.common import (
    Body,
    Metadata,
    PageQuery,
    Rate,
    Text,
    merge_alias,
    moment,
    or_absent,
)


class ApplicationIn(Body, kw_only=True):
    """Fields of a new or replaced application.

    Attributes:
        rate_limit: older name of ``throttle_rate``.
    """

    name: Text
    uid: Name | None = None
    throttle_rate: Rate | None = None
    rate_limit: Rate | UnsetType | None = UNSET
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        """Read the older name."""
        merge_alias(self, "throttle_rate", "rate_limit")


class ApplicationPatch(Body, kw_only=True):
    """Changed fields of an application."""

    name: Text | UnsetType = UNSET
    uid: Name | UnsetType | None = UNSET
    throttle_rate: Rate | UnsetType | None = UNSET
    rate_limit: Rate | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Read the older name."""
        merge_alias(self, "throttle_rate", "rate_limit")


class ApplicationOut(Body, kw_only=True):
    """An application."""

    id: str
    uid: str | UnsetType
    name: str
    rate_limit: int | UnsetType
    throttle_rate: int | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Application) -> ApplicationOut:
        """Convert a row."""
        return cls(
            id=row.id,
            uid=or_absent(row.uid),
            name=row.name,
            rate_limit=or_absent(row.throttle_rate),
            throttle_rate=row.throttle_rate,
            metadata=row.metadata,
            created_at=moment(row.created_at),
            updated_at=moment(row.updated_at),
        )


class ApplicationListQuery(PageQuery, kw_only=True):
    """Query parameters of the listing."""

    exclude_apps_with_no_endpoints: bool = False


class CreateApplicationQuery(msgspec.Struct):
    """``get_if_exists`` answers with the application that has the uid already."""

    get_if_exists: bool = False
