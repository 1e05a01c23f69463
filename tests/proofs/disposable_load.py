"""The load: entries that come in several ways, each sent until it is acknowledged."""

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

#: Seconds a client waits for an answer.
TIMEOUT = 5.0
#: A client's pause between two tries, seconds.
PAUSE = 0.1
#: What stands for a status when no answer came, or when Kafka took nothing.
AWAY = 0


@dataclass(slots=True)
class Entry:
    """One entry; times are seconds since the epoch.

    Attributes:
        name: unique; begins with the prefix of its way.
        sent: when it was sent for the first time.
        acknowledged: when it was acknowledged; None before.
    """

    name: str
    sent: float
    acknowledged: float | None = None


class Way(NamedTuple):
    """A way for entries to come in.

    Attributes:
        prefix: one letter, with which the names of its entries begin.
        threads: clients that send at once.
        per_second: entries of all of them in a second, as long as nothing holds them up.
        send: sends one, given its name and its number among those of its thread, from 0;
            returns a status.
        done: statuses that acknowledge it.
        again: statuses after which the same is sent again. Any other is a failure.
    """

    prefix: str
    threads: int
    per_second: float
    send: Callable[[str, int], int]
    done: Collection[int]
    again: Collection[int]


class Load:
    """Sends until it is told to stop.

    Attributes:
        ways: how entries come in.
        answers: answers by way and status.
        broken: what ended a client.
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
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Send nothing new, and wait until everything that was sent is acknowledged.

        Raises:
            AssertionError: something is not acknowledged after so many seconds.
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
    """Post JSON once; return the status, :data:`AWAY` when no answer came."""
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
