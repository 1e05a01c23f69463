"""The load: entries that are sent in several ways, each until it is acknowledged."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Timeout in seconds of a client for an answer.
TIMEOUT = 5.0
#: Pause between two attempts of a client, in seconds.
PAUSE = 0.1
#: The status if there was no answer, or if Kafka did not accept the event.
AWAY = 0


@dataclass(slots=True)
class Entry:
    """One entry; times are seconds since the epoch.

    Attributes:
        name: unique name; starts with the prefix of its way.
        sent: time of the first attempt to send it.
        acknowledged: when it was acknowledged; None before.
    """

    name: str
    sent: float
    acknowledged: float | None = None


class Way(NamedTuple):
    """One way to send entries.

    Attributes:
        prefix: the first letter of the names of its entries.
        threads: number of concurrent clients.
        per_second: entries per second of all clients together if nothing blocks them.
        send: sends an entry, given its name and its number within the thread (from 0);
            returns a status.
        done: statuses that acknowledge an entry.
        again: statuses after which the entry is sent again. All other statuses are failures.
    """

    prefix: str
    threads: int
    per_second: float
    send: Callable[[str, int], int]
    done: Collection[int]
    again: Collection[int]


class Load:
    """Sends entries until it is stopped.

    Attributes:
        ways: the ways to send entries.
        answers: answers by way and status.
        broken: the errors that ended a client.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self.ways = ways
        self.answers: Counter[str] = Counter()
        self.broken: list[BaseException] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._threads = [
            threading.Thread(target=self._client, args=(way, number), daemon=True)
            for way in ways
            for number in range(way.threads)
        ]

    def start(self) -> None:
        """Start to send."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Stop sending new entries, and wait until all sent entries are acknowledged.

        Raises:
            AssertionError: an entry is not acknowledged within this time.
        """
        self._stop.set()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not self.broken, self.broken
        waiting = [each.name for each in self.entries() if each.acknowledged is None]
        assert not waiting, f"never acknowledged: {waiting[:10]}; answers {dict(self.answers)}"

    def entries(self) -> list[Entry]:
        """Return all entries so far."""
        with self._lock:
            return list(self._entries)

    def _client(self, way: Way, thread: int) -> None:
        number = 0
        try:
            while not self._stop.wait(way.threads / way.per_second):
                entry = Entry(f"{way.prefix}{thread}-{number}", time.time())
                with self._lock:
                    self._entries.append(entry)
                self._until_acknowledged(way, entry, number)
                number += 1
        except BaseException as error:
            self.broken.append(error)

    def _until_acknowledged(self, way: Way, entry: Entry, number: int) -> None:
        while True:
            status = way.send(entry.name, number)
            with self._lock:
                self.answers[f"{way.prefix}{status}"] += 1
            if status in way.done:
                entry.acknowledged = time.time()
                return
            assert status in way.again, f"{entry.name}: status {status}"
            time.sleep(PAUSE)


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> int:
    """Post JSON once; return the status, or :data:`AWAY` if there was no answer."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return AWAY
