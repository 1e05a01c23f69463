"""The services of the three plugins in this process, with a clock that a test moves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rolehost import schema
from rolehost.api import Services
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.process import Process
from rolehost.services import ProcessServices

PLUGINS = ["embedded", "webhooks-api", "webhooks-ingest", "webhooks-delivery"]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.milliseconds = 1_800_000_000_000

    def now(self) -> int:
        return self.milliseconds

    def sleep(self, seconds: float) -> None:
        self.milliseconds += int(seconds * 1000)


@dataclass
class Job:
    """What an actor is given."""

    services: Services
    attempt: int = 1
    last_attempt: bool = False
    id: int = 1
    enqueued_at: int = 0
    cancelled: bool = False


@contextmanager
def running(folder: Path, clock: Clock, settings: str = "") -> Iterator[Services]:
    """Compose, migrate and start, without any role; ``settings`` is more of the file."""
    file = folder / "deployment.toml"
    file.write_text(f'plugins = {PLUGINS}\n[embedded]\npath = "inprocess.db"\n{settings}')
    composition = compose(load(file))
    migrating = ProcessServices(composition, role="command")
    schema.up(migrating.database, [schema.HOST_SET, *composition.schema_sets])
    migrating.close()
    process = Process(composition, role="command", clock=clock, random=random.Random(7))
    process.start()
    try:
        with process.services.database.session():
            yield process.services
    finally:
        process.stop()
