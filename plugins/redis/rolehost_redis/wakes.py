"""Wake-ups over one channel of Redis, without polling.

A message has the names that were woken. Every process of the fleet reads the channel with one
connection and wakes its own listeners. Messages that are published while a process is not
connected are lost for it, so it wakes all its listeners when it connects again.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Collection
from typing import Any

import msgspec
import redis
from rolehost.api import WakeListener

from rolehost_redis.servers import Server

#: Seconds between attempts to connect: the first, and the longest.
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 2.0


class Hub:
    """Reads the channel for all listeners of a process, from the first listener on. Thread-safe.

    The hub also subscribes to the process's channel, on which nothing is published. The kernel
    closes the connection when the process ends, so other processes can ask Redis whether it lives.

    Args:
        server: the server.
        channel: the channel of wake-ups.
        presence: prefix of the name of the process's channel.
    """

    def __init__(self, server: Server, channel: str, presence: str) -> None:
        self._client = server.client(blocking=True)
        self._channel = channel
        #: Identifies this process; not a secret.
        self.owner = uuid.uuid4().hex
        self._presence = presence + self.owner
        self._patience = server.settings.connect_timeout + server.settings.timeout
        self._heartbeat = server.settings.heartbeat
        self._listeners: set[WakeListener] = set()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._subscription: redis.client.PubSub | None = None
        self._connected = threading.Event()
        self._closed = threading.Event()
        #: Whether wake-ups may have been missed.
        self._missed = False

    def listen(self, names: Collection[str]) -> WakeListener:
        """Return a listener that is woken from now on.

        If Redis is away, the listener is woken when Redis is back; until then its waits time out.
        """
        listener = WakeListener(names, self.forget)
        with self._guard:
            self._listeners.add(listener)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="redis-wakes", daemon=True)
                self._thread.start()
        self._connected.wait(self._patience)
        return listener

    def forget(self, listener: WakeListener) -> None:
        """Remove a listener."""
        with self._guard:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Stop reading. Idempotent."""
        self._closed.set()
        with self._guard:
            thread, subscription = self._thread, self._subscription
            self._thread = None
        if subscription is not None and subscription.connection is not None:
            subscription.connection.disconnect()  # ends the waiting read
        if thread is not None:
            thread.join(self._patience)
        self._client.connection_pool.disconnect()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            # ValueError and OSError: closed by another thread in the middle of a read.
            with contextlib.suppress(redis.RedisError, OSError, ValueError):
                self._read()
            if self._connected.is_set():
                pause = _FIRST_PAUSE
                self._connected.clear()
            self._missed = True
            self._closed.wait(pause)
            pause = min(pause * 2, _MAX_PAUSE)

    def _read(self) -> None:
        """Subscribe, and pass messages on until the connection breaks."""
        with self._client.pubsub() as subscription:
            subscription.subscribe(self._presence, self._channel)
            with self._guard:
                self._subscription = subscription
            pinged = False
            while not self._closed.is_set():
                message = subscription.get_message(timeout=self._heartbeat)
                if message is not None:
                    pinged = False
                    self._handle(message)
                elif pinged:
                    raise redis.ConnectionError("no answer to a ping")
                else:
                    subscription.ping()
                    pinged = True

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            if message["channel"] != self._channel.encode():
                return
            if self._missed:
                self._wake(None)
            self._connected.set()
        elif message["type"] == "message":
            try:
                names = msgspec.json.decode(message["data"], type=frozenset[str])
            except msgspec.DecodeError:
                return  # another program published it
            self._wake(names)

    def _wake(self, names: frozenset[str] | None) -> None:
        """Wake the listeners of these names; None is all, because messages may have been missed."""
        with self._guard:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.wake(names)
