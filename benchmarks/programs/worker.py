"""A process of the worker role inside a measuring program."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.observe import logs
from rolehost.roles.process import Process
from rolehost.roles.serving import NEW_OBJECTS
from rolehost.schema import HOST_SET, up


@contextmanager
def started(file: Path, role: str = "worker") -> Iterator[Process]:
    """Compose a deployment, migrate its schema, and start one of its processes."""
    composition = compose(load(file))
    logs.configure(composition.deployment.host.log)
    database = composition.backends["database"].value.factory()
    with database.session():
        up(database, [HOST_SET, *composition.schema_sets])
    database.close()
    process = Process(composition, role=role)
    process.start()
    # As in role processes.
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    try:
        yield process
    finally:
        process.stop()
