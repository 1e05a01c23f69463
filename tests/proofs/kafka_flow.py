"""Part of ``kafka-faults``: events of many keys, with killed consumers and a broker outage."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rolehost.api import Event, Services
from rolehost_testing.services import Server

from tests.proofs import kcat
from tests.proofs.kafka_ground import Place, unordered
from tests.proofs.kills import processes
from tests.proofs.kit import Figures, Options
from tests.proofs.running import Running, eventually

KEYS = 20
#: Events of one unit of work.
TOGETHER = 10
#: Seconds between two kills, and seconds of the broker outage.
PAUSE, AWAY = 1.5, 4.0
#: Timeout in seconds for the supervisor to restart a consumer.
RESTARTED = 40.0


def flow(client: str, server: Server, folder: Path, options: Options) -> Figures:
    """Publish through the outbox while consumers are killed and the broker restarts."""
    count, kills = (400, 4) if options.short else (6000, 24)
    servers = server.url.removeprefix("kafka://")
    place = Place(folder, servers, client=client, handlers="orders,coroutines", processes=3)
    source = random.Random(options.seed)
    with place.publishing() as services, place.consuming() as host:
        pool = ThreadPoolExecutor(1, thread_name_prefix="publisher")
        published = pool.submit(_publish, services, count, kills * PAUSE + AWAY)
        killed = 0
        for number in range(kills):
            time.sleep(PAUSE)  # the interval between kills
            killed += _kill(host, source)
            if number == kills // 2:
                server.stop(immediate=True)
                time.sleep(AWAY)  # the broker outage
                server.run()
        last = time.monotonic()
        published.result()
        pool.shutdown()
        kcat.write(servers, f"{place.prefix}orders", "kcat", _HEADERS, b"7")
        found = {}
        for name in ("orders", "coroutines"):
            place.until(name, count + 1, host)
            found[name] = place.effects(name)
        recovery = time.monotonic() - last
        read = kcat.read(servers, f"{place.prefix}orders")
    dead = place.read("SELECT count(*) FROM rolehost_dead_events")[0][0]
    for name, effects in found.items():
        _check(f"{client}, {name}", effects, count)
    assert not dead, f"{client}: {dead} dead letters"
    ours = [each for each in read if each.key != "kcat"]
    assert all(each.headers["ce_type"] == "order" for each in ours), "kcat misses headers"
    return {
        "events": count,
        "effects": sum(len(effects) - 1 for effects in found.values()),
        "kills": killed,
        "lost": 0,
        "double_effects": 0,
        "out_of_order": 0,
        "processes": len({pid for effects in found.values() for _, _, pid in effects}),
        "dead": dead,
        "records_in_the_topic": len(read),
        "settled_seconds_after_the_last_fault": round(recovery, 1),
    }


def _check(name: str, effects: Sequence[tuple[str, int, int]], count: int) -> None:
    """Check that every event had its effect once, in the order of its key, and kcat's too."""
    once = {(key, n) for key, n, _ in effects}
    assert len(once) == count + 1, f"{name}: lost {count + 1 - len(once)}"
    assert len(effects) == len(once), f"{name}: {len(effects) - len(once)} twice"
    assert not unordered(effects), f"{name}: {unordered(effects)[:5]}"
    assert ("kcat", 7) in once, f"{name}: kcat's is missing"


_HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "from-kcat",
    "ce_source": "urn:kcat",
    "ce_type": "order",
    "content-type": "application/json",
}


def _publish(services: Services, count: int, seconds: float) -> None:
    began = time.monotonic()
    for first in range(0, count, TOGETHER):
        time.sleep(max(0.0, began + seconds * first / count - time.monotonic()))  # its pace
        with services.unit_of_work() as work:
            for number in range(first, first + TOGETHER):
                work.publish(
                    Event(topic="orders", type="order", data=number, key=f"key-{number % KEYS}")
                )


def _kill(host: Running, source: random.Random) -> int:
    """Kill a random consumer; wait for one if all are being restarted."""

    def consumers() -> list[int]:
        return [pid for pid, role in processes(host.pid) if role == "consumer"]

    found = eventually(consumers, bool, seconds=RESTARTED)
    try:
        os.kill(source.choice(sorted(found)), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
