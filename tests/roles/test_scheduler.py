"""The scheduler role: ticks become jobs."""

from __future__ import annotations

import os
import signal
import threading

from rolehost.api import Schedule, actor
from rolehost.roles.process import Process
from rolehost.roles.scheduler import run
from rolehost.roles.worker.role import WorkerRole


def test_each_tick_runs_its_actor_until_the_process_stops(host, collected):
    @actor()
    def tick(context, n: int):
        collected.add(n)

    schedule = Schedule(name="often", actor=tick, arguments={"n": 7}, every=0.2)
    here = host([tick], schedules=[schedule])
    here.start(WorkerRole, "worker")
    words: list[str] = []

    def stop_after_two_ticks() -> None:
        collected.wait(2)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=stop_after_two_ticks)
    thread.start()
    try:
        status = run(Process(here.composition, role="scheduler", announce=words.append))
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
        thread.join()
    assert status == 0
    assert words == ["ready", "draining"]
    assert set(collected.items) == {7}
    assert here.read("SELECT count(*) FROM rolehost_leases WHERE name = 'scheduler'") == [(0,)]
