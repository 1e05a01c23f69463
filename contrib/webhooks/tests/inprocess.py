"""A host of the three plugins in this process, with a receiver that answers as a test says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from rolehost_testing.kit import Host, open_host
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.domain import applications, endpoints
from rolehost_webhooks.schemas.applications import ApplicationIn
from rolehost_webhooks.schemas.endpoints import EndpointIn

PLUGINS = ("webhooks-api", "webhooks-ingest", "webhooks-delivery")


def posting(answer: Callable[..., Answer]) -> Callable[..., Coroutine[Any, Any, Answer]]:
    """Return an asynchronous function in the place of ``Sender.post`` that answers so."""

    async def post(*request: Any) -> Answer:
        return answer(*request)

    return post


@contextmanager
def running(*, plugins: tuple[str, ...] = (), **delivery: Any) -> Iterator[Host]:
    """Start a host with an application ``app`` that has an endpoint ``ep``.

    Args:
        plugins: further plugins.
        delivery: settings of the plugin ``webhooks-delivery``.
    """
    with open_host((*PLUGINS, *plugins), settings={"webhooks-delivery": delivery}) as here:
        applications.create(here.services, ApplicationIn(name="x", uid="app"))
        endpoints.create(here.services, "app", EndpointIn(url="http://receiver/", uid="ep"))
        yield here
