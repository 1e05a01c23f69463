"""Sending to ephemeral actors."""

from __future__ import annotations

from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionClosed
from rolehost.api import PayloadError, Services, StorageRefused, StorageUnavailable, actor
from rolehost.services.transport import Transport


@actor(queue="mail", durable=False)
def passing(_services: Services, to: str) -> None:
    """Do nothing."""


@actor(queue="mail")
def lasting(_services: Services, to: str) -> None:
    """Do nothing."""


class _Away(StubBroker):
    """Fails as a backend's broker does."""

    def __init__(self, reason: Exception | None) -> None:
        super().__init__(middleware=[])
        self._reason = reason

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> Any:
        raise ConnectionClosed("closed") from self._reason


@pytest.mark.parametrize(
    ("reason", "raised"),
    [
        (StorageUnavailable("away"), StorageUnavailable),
        (StorageRefused("password"), StorageRefused),
        (None, StorageUnavailable),
    ],
)
def test_the_sender_gets_errors_of_the_host(
    reason: Exception | None, raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        Transport(_Away(reason)).send(passing, {"to": "x"}, None)


def test_a_durable_actor_is_enqueued_not_sent() -> None:
    with pytest.raises(PayloadError, match="enqueue"):
        Transport(StubBroker(middleware=[])).send(lasting, {"to": "x"}, None)
