"""Part of ``million``: first pages of all filters of the listings, and enqueueing of jobs.

``python -m tests.proofs.million_pages pages DEPLOYMENT`` prints the milliseconds of each page as
JSON. ``… partitions DEPLOYMENT JOBS PARTITIONS`` and ``… key DEPLOYMENT JOBS`` enqueue jobs.
"""

from __future__ import annotations

import inspect
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rolehost.delivery import administration, deadletters
from rolehost.services import ProcessServices

from tests.proofs.deployed import client_services

#: Values of each filter: none, frequent, rare with the oldest rows only, absent.
JOBS: Mapping[str, tuple[str | None, ...]] = {
    "state": (None, "available", "completed", "dead", "cancelled", "running"),
    "queue": (None, "bench", "rare", "absent"),
    "actor": (None, "nothing", "rare", "absent"),
    "partition": (None, "absent"),
}
DEAD: Mapping[str, tuple[str | None, ...]] = {"what": (None, "nothing", "rare", "absent")}

#: Jobs enqueued in one transaction.
TOGETHER = 10_000


def pages(services: ProcessServices) -> dict[str, float]:
    """Return the milliseconds of each first page, the faster one of two calls."""
    found = {}
    listings = (("jobs", administration.listing, JOBS), ("dead", deadletters.listing, DEAD))
    with services.database.session():
        for name, listing, filters in listings:
            for chosen in _chosen(listing, filters):
                words = " ".join(f"{key}={value}" for key, value in chosen.items())
                call = partial(listing, services.database, **chosen)
                found[f"{name} {words}".strip()] = min(_milliseconds(call) for _ in range(2))
    return found


def _chosen(
    listing: Callable[..., Any], filters: Mapping[str, tuple[str | None, ...]]
) -> Iterator[dict[str, str]]:
    """Return every combination of the values; AssertionError if the listing has other filters."""
    offered = set(inspect.signature(listing).parameters) - {"database", "before", "limit"}
    assert offered == set(filters), f"filters of {listing.__module__}: {sorted(offered)}"
    for values in itertools.product(*filters.values()):
        given = zip(filters, values, strict=True)
        yield {name: value for name, value in given if value is not None}


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def partitions(services: ProcessServices, jobs: int, count: int) -> None:
    """Enqueue jobs of the limited actor, spread over this number of partitions."""
    for first in range(0, jobs, TOGETHER):
        numbers = range(first, min(first + TOGETHER, jobs))
        with services.unit_of_work() as work:
            work.enqueue_many(
                "limited",
                [{"number": each, "tenant": f"tenant {each % count}"} for each in numbers],
            )


def one_key(services: ProcessServices, jobs: int) -> None:
    """Enqueue jobs with one key."""
    with services.unit_of_work() as work:
        for number in range(jobs):
            work.enqueue("nothing", number=number, key="one")


if __name__ == "__main__":
    command, file, *numbers = sys.argv[1:]
    with client_services(Path(file)) as services:
        match command, [int(each) for each in numbers]:
            case "pages", []:
                print(json.dumps(pages(services)))
            case "partitions", [jobs, count]:
                partitions(services, jobs, count)
            case "key", [jobs]:
                one_key(services, jobs)
