"""The interfaces of the four kinds of storage, and base classes for their backends.

A backend implements one of :class:`Database`, :class:`Cache`, :class:`Queue` or
:class:`Stream`, declares its capabilities (:mod:`rolehost.storage.capabilities`) and is
tested by the conformance suite of its kind (:mod:`rolehost_testing.conformance`).
"""

from rolehost.storage.cache import Cache, Lease, Quota
from rolehost.storage.capabilities import CAPABILITIES, KINDS, Kind
from rolehost.storage.client import ServerInfo, StorageClient
from rolehost.storage.database import Cursor, Database, Transaction
from rolehost.storage.queue import DeadMessage, Listener, Queue, message_priority
from rolehost.storage.queues import StoredQueue, WakeListener
from rolehost.storage.stream import Partition, Record, Stream, Subscription
from rolehost.storage.transactions import PeeweeTransaction
from rolehost.storage.values import check_values

__all__ = [
    "CAPABILITIES",
    "KINDS",
    "Cache",
    "Cursor",
    "Database",
    "DeadMessage",
    "Kind",
    "Lease",
    "Listener",
    "Partition",
    "PeeweeTransaction",
    "Queue",
    "Quota",
    "Record",
    "ServerInfo",
    "StorageClient",
    "StoredQueue",
    "Stream",
    "Subscription",
    "Transaction",
    "WakeListener",
    "check_values",
    "message_priority",
]
