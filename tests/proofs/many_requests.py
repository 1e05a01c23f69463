"""Part of ``many-plugins``: a request to the last of many plugins, and one to a single plugin.

``python -m tests.proofs.many_requests PLUGINS SLICES``, with the plugins on ``PYTHONPATH``. Both
hosts run in this process and get slices of requests in turns, so that other load affects both
equally. The output is JSON: the calls of a request on each host, counted by Python's profiler, and
the median ratio of the processor times of the slices.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import build
from rolehost_testing.kit import Host, open_host

#: Requests of a slice: about 10 ms.
SLICE = 200

Ask = Callable[[], None]


def main(plugins: int, slices: int) -> None:
    """Print the cost of a request in a host with all plugins, and with only the last one."""
    names = [f"many{number:03}" for number in range(plugins)]
    path = f"/{names[-1]}/4/42"
    with open_host(names) as all_of_them, open_host(names[-1:]) as alone:
        many, one = asking(all_of_them, path), asking(alone, path)
        for ask in (many, one):
            for _ in range(SLICE):
                ask()
        gc.freeze()  # as in a role process before it is ready
        print(
            json.dumps(
                {
                    "calls_many": calls(many),
                    "calls_one": calls(one),
                    "ratio": ratio(many, one, slices),
                }
            )
        )


def asking(host: Host, path: str) -> Ask:
    """Return a function that sends a request to the host's application and checks the answer."""
    application = build(
        host.composition, host.services, Recorders(), host.composition.deployment.host
    )
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    def ask() -> None:
        statuses: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        answering = application.asgi(dict(scope), receive, send)
        try:
            answering.send(None)
        except StopIteration:
            assert statuses[0] == 200, statuses
            return
        raise AssertionError("the request waited for something")

    return ask


def calls(ask: Ask) -> int:
    """Count the calls of Python and C functions in one request."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        ask()
    finally:
        sys.setprofile(None)
    return counted


def ratio(many: Ask, one: Ask, slices: int) -> float:
    """Return the median of the ratios of processor time, slice by slice in changing order."""
    ratios = []
    for number in range(slices):
        first, second = (many, one) if number % 2 else (one, many)
        used = {first: seconds(first), second: seconds(second)}
        ratios.append(used[many] / used[one])
    return statistics.median(ratios)


def seconds(ask: Ask) -> float:
    """Return the processor seconds of a slice of requests."""
    began = time.thread_time()
    for _ in range(SLICE):
        ask()
    return time.thread_time() - began


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
