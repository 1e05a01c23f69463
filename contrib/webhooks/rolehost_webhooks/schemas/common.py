"""Common types of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rolehost_webhooks.rules import Iterator, Name, Prose

T = TypeVar("T")

Names = Annotated[list[Name], Meta(min_length=1)]
Channels = Annotated[list[Name], Meta(min_length=1, max_length=10)]
Rate = Annotated[int, Meta(ge=1, le=65_535)]
Text = Annotated[Prose, Meta(min_length=1)]
Metadata = dict[str, str]


class Body(msgspec.Struct, rename="camel", kw_only=True):
    """Base of all bodies."""


class ListOut(Body, Generic[T], kw_only=True):
    """The envelope of every listing.

    Attributes:
        iterator: pass it to get the next page; None if this page is empty.
        prev_iterator: pass it to get the previous page; absent if this page is empty.
        done: whether this is the last page.
    """

    data: list[T]
    iterator: str | None
    prev_iterator: str | UnsetType = UNSET
    done: bool


def or_absent(value: T | None) -> T | UnsetType:
    """Return the value, or ``UNSET`` instead of None, so that the field is absent, not null."""
    return UNSET if value is None else value


def merge_alias(body: msgspec.Struct, name: str, alias: str) -> None:
    """Move the value of an alias to its field.

    Raises:
        ValueError: both names were sent.
    """
    given = getattr(body, alias)
    if given is UNSET:
        return
    if getattr(body, name) not in (UNSET, None):
        sent = dict(zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True))
        raise ValueError(f"give {sent[name]} or {sent[alias]}, not both")
    setattr(body, name, given)
    setattr(body, alias, UNSET)


class Empty(Body, kw_only=True):
    """An empty object."""


class ErrorOut(Body, kw_only=True):
    """An error; in a 422, ``detail`` is a list of errors instead."""

    code: str
    detail: str


class PageQuery(msgspec.Struct, kw_only=True):
    """Query parameters of all listings; ``limit`` is at most 250, by default 50."""

    limit: Annotated[int, Meta(ge=1, le=250)] = 50
    iterator: Iterator | None = None
    order: Literal["ascending", "descending"] | None = None


def moment(milliseconds: int) -> datetime:
    """Convert Unix milliseconds to a time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def moment_or_none(milliseconds: int | None) -> datetime | None:
    """Convert Unix milliseconds to a time; None stays None."""
    return None if milliseconds is None else moment(milliseconds)


def milliseconds(value: datetime | None) -> int | None:
    """Convert a time to Unix milliseconds; a time without a time zone is UTC."""
    if value is None:
        return None
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int(value.timestamp() * 1000)
