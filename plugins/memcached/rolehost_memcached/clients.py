"""pymemcache's client, with fast versions of the two most frequent commands.

pymemcache's versions share code for all commands and options, which costs as much as the system
call itself. See protocol.txt of memcached: "Retrieval commands", "Storage commands".
"""

from __future__ import annotations

from typing import Any

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheUnexpectedCloseError, MemcacheUnknownError

from rolehost_memcached.entries import LAYOUT, Entry, EntrySerde

#: Bytes to receive in one system call.
_PART = 65_536
_TAIL = b"\r\nEND\r\n"


class EntryClient(Client):  # type: ignore[misc]
    """One connection; not thread-safe. Close it after an exception."""

    def fetch(self, name: str) -> Entry | None:
        """Return the entry of a key; None if it is missing, or of another layout.

        Raises:
            OSError, MemcacheError: as for pymemcache's commands.
        """
        received = self._exchange(b"get %b\r\n" % name.encode("ascii"))
        if received == b"END\r\n":
            return None
        line, _, rest = received.partition(b"\r\n")
        words = line.split()
        if len(words) != 4 or words[0] != b"VALUE":
            raise self._unexpected_answer(line, b"get")
        size = int(words[3])
        while len(rest) < size + len(_TAIL):
            rest += self._receive()
        if rest[size:] != _TAIL:
            raise MemcacheUnknownError(rest[size:][:32])
        return EntrySerde().deserialize(None, rest[:size], int(words[2]))

    def store(self, name: str, entry: Entry) -> None:
        """Store an entry.

        Raises:
            OSError, MemcacheError: as for pymemcache's commands.
        """
        data, _ = EntrySerde().serialize(None, entry)
        head = (name.encode("ascii"), LAYOUT, entry.server_expiry(), len(data), data)
        received = self._exchange(b"set %b %d %d %d\r\n%b\r\n" % head)
        if received != b"STORED\r\n":
            raise self._unexpected_answer(received.rstrip(), b"set")

    def _exchange(self, command: bytes) -> bytes:
        """Send a command; return at least the first line of the answer."""
        if self.sock is None:
            self._connect()
        self.sock.sendall(command)
        received: bytes = self._receive()
        while b"\r\n" not in received:
            received += self._receive()
        return received

    def _receive(self) -> bytes:
        part: bytes = self.sock.recv(_PART)
        if not part:
            raise MemcacheUnexpectedCloseError
        return part

    def _unexpected_answer(self, line: bytes, command: bytes) -> Exception:
        """Return the error for an unexpected answer; if the answer names an error, raise that."""
        self._raise_errors(line, command)
        return MemcacheUnknownError(line[:32])


def make_client(address: Any, *, connect_timeout: float, timeout: float) -> EntryClient:
    """Make a client that waits for answers; it connects with its first command."""
    return EntryClient(
        address,
        serde=EntrySerde(),
        connect_timeout=connect_timeout,
        timeout=timeout,
        no_delay=True,
        default_noreply=False,
    )
