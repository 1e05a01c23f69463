"""The same route in a bare Falcon application, called by Falcon's testing client."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import falcon.asgi
import falcon.testing

from benchmarks.sample import PATH, Orders, use_msgspec


def rate(ask: Callable[[], object], count: int) -> float:
    """Return calls per second."""
    ask()
    began = time.perf_counter()
    for _ in range(count):
        ask()
    return count / (time.perf_counter() - began)


def main(count: int) -> None:
    """Print requests per second."""
    app = falcon.asgi.App()
    use_msgspec(app)
    app.add_route(PATH, Orders())
    client = falcon.testing.TestClient(app)
    print(json.dumps({"request": rate(lambda: client.simulate_get("/orders/1").json, count)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
