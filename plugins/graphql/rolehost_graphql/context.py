"""``info.context`` of resolvers: one object for each request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rolehost.api import Authentication, Services

from rolehost_graphql.errors import TIME_LIMIT, UNAUTHENTICATED, Refused

if TYPE_CHECKING:
    from rolehost_graphql.declarations import Schema

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Maximum keys per batch: SQLite allows 32,766 parameters in a statement, PostgreSQL 65,535.
BATCH = 1000


class Context:
    """One request: its services, its headers, and the data loaders that batch its look-ups.

    A request runs on one thread of the role's pool and uses the database connection of that
    thread. Resolvers can use ``services.unit_of_work()`` and models like a synchronous
    responder.

    Attributes:
        services: the services of the process.
    """

    def __init__(self, services: Services, request: Any, time_limit: float) -> None:
        self.services = services
        self._request = request
        self._limit = time_limit
        self._deadline = time.monotonic() + time_limit
        self._loaders: dict[Any, Any] = {}
        self._passed: set[int] = set()

    def header(self, name: str) -> str | None:
        """Return a header of the request, or None."""
        value: str | None = self._request.get_header(name)
        return value

    def load(self, batch: Callable[[list[K]], Sequence[V]], key: K) -> Awaitable[V]:
        """Look up a key in one batch with all other keys that are requested at the same time.

        Args:
            batch: returns a value (or an exception) for each key, in the order of the keys. It
                gets at most 1000 distinct keys. Pass the same function object in each call.
            key: the key to look up. Its value is cached for the duration of the request.
        """
        loader = self._loaders.get(batch)
        if loader is None:
            from strawberry.dataloader import DataLoader

            async def load_all(keys: list[K]) -> Sequence[V]:
                self.check_time()
                return batch(keys)

            loader = DataLoader(load_fn=load_all, max_batch_size=BATCH)
            self._loaders[batch] = loader
        value: Awaitable[V] = loader.load(key)
        return value

    def forget(self) -> None:
        """Clear the cached values; called after each mutation, which may have changed them."""
        self._loaders.clear()

    def check_time(self) -> None:
        """Check the time limit of the request.

        Raises:
            Refused: the time limit is exceeded.
        """
        if time.monotonic() > self._deadline:
            raise Refused(f"The operation took longer than {self._limit:g} s.", TIME_LIMIT)

    def enter(self, part: Schema) -> None:
        """Check, once per request and part, whether the client may use the part's root fields.

        Raises:
            Refused: the part's authentication or guard refuses the client, or the time limit is
                exceeded.
        """
        self.check_time()
        if id(part) in self._passed:
            return
        authentication = part.authentication
        if authentication is not None and not self._admits(authentication):
            raise Refused(authentication.refusal, UNAUTHENTICATED)
        if part.guard is not None:
            part.guard(self)
        self._passed.add(id(part))

    def _admits(self, authentication: Authentication) -> bool:
        import falcon  # plugins also import this module in processes without HTTP

        try:
            return authentication.admits(self._request) is True
        except (falcon.HTTPError, falcon.HTTPStatus):
            return False
