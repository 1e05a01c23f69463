"""The role ``consumer``: subscriptions of the stream, handled in lanes by key."""

from rolehost.roles.consumer.role import run

__all__ = ["run"]
