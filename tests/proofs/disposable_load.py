"""The load: entries over HTTP and through Kafka, each sent until it is acknowledged."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Threads that post over HTTP.
SENDERS = 4
#: Keys of each way; the entries of one key are in order.
KEYS = 8
#: Answers after which a client tries again with the same Idempotency-Key: 409 says that the
#: first try is still running, 503 that the server cannot do it now; 0 is no answer.
AGAIN = frozenset({0, 409, 503})
#: Seconds a client waits for an answer.
TIMEOUT = 5.0
#: A client's pause between two tries, seconds.
PAUSE = 0.1


@dataclass(slots=True)
class Entry:
    """One entry; times are seconds since the epoch.

    Attributes:
        name: unique; begins with ``r`` over HTTP and with ``s`` through Kafka.
        sent: when it was sent for the first time.
        acknowledged: when it was acknowledged; None before.
    """

    name: str
    sent: float
    acknowledged: float | None = None


class Load:
    """Sends until it is told to stop.

    Args:
        url: the HTTP API.
        publish: hands one record to Kafka, given (entry, key, seq); raises what ``away`` says.
        away: the exception that says that Kafka is away.
        per_second: entries over HTTP; half as many go through Kafka.
    """

    def __init__(
        self,
        url: str,
        publish: Callable[[str, str, int], None],
        away: type[Exception],
        per_second: float,
    ) -> None:
        self._url = f"{url}/entries"
        self._publish = publish
        self._away = away
        self._rate = per_second
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._threads = [
            threading.Thread(target=self._over_http, args=(number,), daemon=True)
            for number in range(SENDERS)
        ] + [threading.Thread(target=self._through_kafka, daemon=True)]
        #: Seconds for which the jobs of entries work on, for those sent from now on.
        self.hold = 0.0
        #: Answers by status; 0 is none.
        self.answers: Counter[int] = Counter()
        #: Publications that failed and were tried again.
        self.unpublished = 0
        #: What ended a sender.
        self.broken: list[BaseException] = []

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
        open_ = [each.name for each in self.entries() if each.acknowledged is None]
        assert not open_, f"never acknowledged: {open_[:10]}; answers {dict(self.answers)}"

    def entries(self) -> list[Entry]:
        """Return all entries so far."""
        with self._lock:
            return list(self._entries)

    def _new(self, name: str) -> Entry:
        entry = Entry(name, time.time())
        with self._lock:
            self._entries.append(entry)
        return entry

    def _over_http(self, thread: int) -> None:
        number = 0
        pause = SENDERS / self._rate
        try:
            while not self._stop.wait(pause):
                number += 1
                entry = self._new(f"r{thread}-{number}")
                body = {"entry": entry.name, "key": f"k{number % KEYS}", "hold": self.hold}
                while (status := post(self._url, body, entry.name)) in AGAIN:
                    self._count(status)
                    time.sleep(PAUSE)
                self._count(status)
                assert status == 201, f"{entry.name}: status {status}"
                entry.acknowledged = time.time()
        except BaseException as error:
            self.broken.append(error)

    def _count(self, status: int) -> None:
        with self._lock:
            self.answers[status] += 1

    def _through_kafka(self) -> None:
        number = 0
        pause = 2 / self._rate
        try:
            while not self._stop.wait(pause):
                entry = self._new(f"s-{number}")
                while True:
                    try:
                        # The next one of a key is sent after this one is acknowledged.
                        self._publish(entry.name, f"k{number % KEYS}", number // KEYS + 1)
                        break
                    except self._away:
                        self.unpublished += 1
                        time.sleep(PAUSE)
                entry.acknowledged = time.time()
                number += 1
        except BaseException as error:
            self.broken.append(error)


def post(url: str, body: Any, key: str) -> int:
    """Post JSON once with an Idempotency-Key; return the status, 0 when no answer came."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
