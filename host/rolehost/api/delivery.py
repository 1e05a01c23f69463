"""The settings of the delivery contract. The host uses them; plugins do not."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from rolehost.api.settings import Settings

Positive = Annotated[float, Meta(gt=0)]


class DeliverySettings(Settings, frozen=True):
    """``[delivery]``: settings of the delivery contract, the same in every deployment of a fleet.

    Attributes:
        lease: seconds after which a process that does not renew its lease loses its work.
        heartbeat: seconds between renewals; at most a third of ``lease``.
        poll: seconds between polls, which find work after a lost wake-up.
        relay_shards: number of shards of the outbox, by key; each shard has its own lease.
        keep_completed: seconds for which finished jobs stay listed.
        keep_dead: seconds for which dead letters are kept.
        keep_inbox: seconds for which a handled event is recognised as a duplicate.
        keep_idempotency: seconds for which a response is stored for its idempotency key.
        content_modes: topic → how its events are written. ``binary`` (the default): attributes in
            headers, data in the value. ``structured``: the whole event in the value, as JSON.
            Consumers read both forms.
    """

    lease: Positive = 30.0
    heartbeat: Positive = 5.0
    poll: Positive = 2.0
    relay_shards: Annotated[int, Meta(ge=1, le=256)] = 4
    keep_completed: Positive = 86_400.0
    keep_dead: Positive = 2_592_000.0
    keep_inbox: Positive = 604_800.0
    keep_idempotency: Positive = 86_400.0
    content_modes: dict[str, Literal["binary", "structured"]] = {}  # noqa: RUF012 - msgspec copies
