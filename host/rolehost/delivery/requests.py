"""Idempotent HTTP requests: the response is stored in the transaction of the effects.

Source: the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-
key-header): same key and same request give the stored response, another request 422, a
concurrent one 409.
"""

from __future__ import annotations

from types import TracebackType

from rolehost import failpoints
from rolehost.delivery import inbox
from rolehost.delivery.guard import current
from rolehost.delivery.inbox import StoredResponse
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import AlreadyHandled, Scope
from rolehost.delivery.work import Work
from rolehost.errors import IdempotencyInProgress


class RequestScope(Scope):
    """The scope around one responder, entered in a session of its thread.

    ``with scope:`` then look at :attr:`stored`; when it is None run the responder and call
    :meth:`store` before the block ends. Leaving without :meth:`store` undoes everything.
    """

    __slots__ = ("_fingerprint", "_key", "_token", "stored")

    def __init__(self, runtime: DeliveryRuntime, key: str, fingerprint: bytes) -> None:
        super().__init__(runtime, f"request:{key}", "an idempotent request")
        self._key = key
        self._fingerprint = fingerprint
        #: The response of an earlier request with this key; None when there is none.
        self.stored: StoredResponse | None = None

    def opened(self, work: Work) -> None:
        """Reserve the key; a request that came in between stops here."""
        now = self._runtime.clock.now()
        if not inbox.mark_request(work.transaction, self._key, self._fingerprint, now):
            raise AlreadyHandled

    def __enter__(self) -> RequestScope:
        self.stored = inbox.stored_response(self._runtime.database, self._key, self._fingerprint)
        self._token = current.set(self)
        return self

    def store(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Store the response and commit it with the effects.

        Raises:
            IdempotencyInProgress: another request with the key came first and has committed.
        """
        try:
            work = self.open()
        except AlreadyHandled:
            raise IdempotencyInProgress("a request with this idempotency key came first") from None
        inbox.store_response(work.transaction, self._key, StoredResponse(status, headers, body))
        self.commit()
        failpoints.reach("requests.after_commit")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        current.reset(self._token)
        self.close()
        if kind is AlreadyHandled:
            raise IdempotencyInProgress("a request with this idempotency key came first") from None
