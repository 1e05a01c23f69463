"""``info.context`` of a resolver: one object for each request."""

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

#: Most keys of one batch: SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535.
BATCH = 1000


class Context:
    """One request: its services, its headers, and the loaders that batch its look-ups.

    A request runs on one thread of the role's pool, with that thread's connection to the
    database, so resolvers may use ``services.unit_of_work()`` and models as any synchronous
    responder does.

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
        """Look something up together with all else that is looked up at the same moment.

        Args:
            batch: given keys, each once, returns a value (or an exception) for each, in their
                order; the same function object every time. At most 1000 keys at once.
            key: what is looked up; asked for again in this request, it is not looked up twice.
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
        """Forget what was looked up; called after each mutation, which may have changed it."""
        self._loaders.clear()

    def check_time(self) -> None:
        """Raise when the time of the request is over.

        Raises:
            Refused: it is.
        """
        if time.monotonic() > self._deadline:
            raise Refused(f"The operation took longer than {self._limit:g} s.", TIME_LIMIT)

    def enter(self, part: Schema) -> None:
        """Check once in a request whether the root fields of a part may be resolved.

        Raises:
            Refused: its authentication or its guard refuses the client, or the time is over.
        """
        self.check_time()
        if id(part) in self._passed:
            return
        authentication = part.authentication
        if authentication is not None and not self._admitted(authentication):
            raise Refused(authentication.refusal, UNAUTHENTICATED)
        if part.guard is not None:
            part.guard(self)
        self._passed.add(id(part))

    def _admitted(self, authentication: Authentication) -> bool:
        import falcon  # plugins import this module in processes without HTTP, too

        try:
            return authentication.admits(self._request) is True
        except (falcon.HTTPError, falcon.HTTPStatus):
            return False
