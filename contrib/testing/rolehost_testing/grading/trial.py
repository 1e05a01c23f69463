"""Run one plugin in a separate process: ``python -m rolehost_testing.grading.trial``.

The trial imports the plugin and calls its declaration hooks while it records side effects. Then
it makes the plugin's backends, runs its migrations, and starts and stops it, with storage in
memory. The last line of standard output is a JSON document with the observations.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import msgspec
from rolehost.api.actors import Actor
from rolehost.api.contributions import Backend, Migrations
from rolehost.api.handlers import Handler
from rolehost.api.settings import Secret
from rolehost.composition import Probe, compose, probe
from rolehost.deployment import Deployment, read
from rolehost.discovery import InstalledPlugin, installed
from rolehost.discovery.hooks import HOOKS, implementation, line_of

from rolehost_testing.grading.audit import Audit


class Field(msgspec.Struct):
    """A setting.

    Attributes:
        name: name of the setting.
        typed: whether it has a specific type.
        text: whether it accepts plain text, so that its value is shown; a Secret is not shown.
    """

    name: str
    typed: bool
    text: bool


class Seen(msgspec.Struct):
    """The observations about one plugin.

    Attributes:
        problems: errors of its import and declarations.
        acts: side effects of its import and declarations.
        seconds: processor time of its import and declarations.
        api: the declared version of the plugin API, or None.
        summary: its summary.
        settings: its settings.
        documented: docstring of the class of its settings.
        untyped: hooks without a return annotation, with their locations.
        kinds: storage kinds of its backends.
        enqueues: actors that it declares to enqueue.
        publishes: topics that it declares to publish to, including those in its settings.
        backends: errors of making and closing its backends.
        migrations: errors of its migrations; empty if they are reversible; None if it has none.
        life: errors of starting and stopping it.
    """

    problems: list[str] = []
    acts: list[str] = []
    seconds: float = 0.0
    api: int | None = None
    summary: str = ""
    settings: list[Field] = []
    documented: str = ""
    untyped: list[str] = []
    kinds: list[str] = []
    enqueues: list[str] = []
    publishes: list[str] = []
    backends: list[str] = []
    migrations: list[str] | None = None
    life: list[str] = []


def main(name: str, path: str) -> int:
    """Run the trial with the settings of a deployment file; an empty path means no file."""
    deployment, _ = read(Path(path) if path else None, plugins=(name,))
    (found,) = [each for each in installed() if each.name == name][:1]
    seen, audit = Seen(), Audit(found.target.partition(":")[0].partition(".")[0])
    probed = _declare(found, deployment, seen, audit)
    if not seen.problems:
        _make_backends(probed, seen, audit)
        _migrate(probed, seen)
        _live(found, probed, deployment, seen)
    print(msgspec.json.encode(seen).decode())
    return 0


def _declare(found: InstalledPlugin, deployment: Deployment, seen: Seen, audit: Audit) -> Probe:
    began = time.process_time()
    with audit.listening() as acts:
        probed = probe(deployment, found)
    seen.seconds = round(time.process_time() - began, 3)
    seen.acts = list(acts)
    seen.problems = [str(problem) for problem in probed.problems]
    if probed.info is None:
        return probed
    info, contributions = probed.info, probed.contributions
    seen.api, seen.summary = info.api, info.summary
    seen.enqueues = list(info.enqueues)
    seen.publishes = [*info.publishes, *(owned.value for owned in contributions.of(str))]
    seen.kinds = sorted({owned.value.kind for owned in contributions.of(Backend)})
    if info.settings is not None:
        seen.documented = info.settings.__doc__ or ""
        for field in msgspec.structs.fields(info.settings):
            kinds = [field.type, *get_args(field.type)]
            vague = Any in kinds or object in kinds
            seen.settings.append(Field(field.name, not vague, str in kinds and Secret not in kinds))
    module = found.load()
    for hook in HOOKS:
        if implementation(module, hook) is not None:
            function = getattr(module, hook)
            if "return" not in function.__annotations__:
                seen.untyped.append(f"{hook} ({line_of(function)})")
    return probed


def _make_backends(probed: Probe, seen: Seen, audit: Audit) -> None:
    for owned in probed.contributions.of(Backend):
        backend: Backend = owned.value
        if backend.unavailable:
            continue
        with _said(seen.backends, f"the {backend.kind} {backend.name}"), audit.listening() as acts:
            made = backend.factory()
        connecting = [act for act in acts if act.startswith(("socket.", "sqlite3."))]
        seen.backends += [f"making the {backend.kind} {backend.name}: {act}" for act in connecting]
        with _said(seen.backends, f"closing the {backend.kind} {backend.name}"):
            made.close()
            made.close()


def _migrate(probed: Probe, seen: Seen) -> None:
    from rolehost import schema

    from rolehost_testing.memory import MemoryWorld

    sets = [
        (owned.value.owner or owned.plugin, owned.value.package)
        for owned in probed.contributions.of(Migrations)
    ]
    if not sets:
        return
    seen.migrations = []
    world = MemoryWorld()
    database = world.database
    with _said(seen.migrations, "migrations"), database.session():
        schema.up(database, [schema.HOST_SET])
        for each in sets:
            first = _schema(database)
            applied = schema.up(database, [each])
            full = _schema(database)
            schema.down(database, each, steps=len(applied) or 1)
            left = _schema(database)
            if left != first:
                names = sorted(set(left) ^ set(first))
                seen.migrations.append(f"{each[0]}: down does not revert {', '.join(names)}")
            schema.up(database, [each])
            if _schema(database) != full:
                seen.migrations.append(f"{each[0]}: up after down gives another schema")
    world.close()


def _schema(database: Any) -> dict[str, str]:
    rows = database.read("SELECT name, coalesce(sql, '') FROM sqlite_master")
    return {name: sql for name, sql in rows if not name.startswith("sqlite_")}


def _live(found: InstalledPlugin, probed: Probe, deployment: Deployment, seen: Seen) -> None:
    from rolehost.roles.process import Process

    from rolehost_testing.memory import MemoryWorld

    world = MemoryWorld()
    role = "worker" if probed.contributions.of(Actor) else "http"
    role = "consumer" if probed.contributions.of(Handler) else role
    storage = dict.fromkeys(("database", "cache", "queue", "stream"), "memory")
    environ = {f"ROLEHOST__STORAGE__{kind.upper()}": name for kind, name in storage.items()}
    names = ["memory", *_depended(found, deployment)]
    path = Path(deployment.path) if deployment.path else None
    again, _ = read(path, plugins=names, environ={**os.environ, **environ})
    with _said(seen.life, "in a host"):
        composition = compose(again, extra={"memory": world.plugin})
        world.prepare([("rolehost", "rolehost.migrations"), *composition.schema_sets])

        def process() -> Process:
            return Process(composition, role=role, background=False)

        _once(process, start=True)  # warm up, so that imports and caches are not reported
        threads, descriptors = _threads(), _descriptors()
        _once(process, start=False)
        _once(process, start=True)
        seen.life += [f"the thread {name} is left" for name in sorted(_threads() - threads)]
        left = sorted(_descriptors() - descriptors)
        seen.life += [f"a descriptor is left: {each}" for each in left]
    world.close()


def _once(make: Callable[[], Any], *, start: bool) -> None:
    process = make()
    try:
        if start:
            process.start()
            process.drain()
    finally:
        process.stop()
        process.stop()


def _depended(found: InstalledPlugin, deployment: Deployment) -> Sequence[str]:
    """Return the plugin with its dependencies, and a plugin that implements hooks it defines."""
    by_name = {each.name: each for each in installed()}
    names: list[str] = []

    def add(name: str) -> None:
        if name in names or name not in by_name:
            return
        info = probe(deployment, by_name[name]).info
        for each in info.depends if info else ():
            add(each)
        names.append(name)

    add(found.name)
    info = probe(deployment, found).info
    points = [point.hook for point in info.extension_points] if info else []
    implementing = (
        each.name
        for each in by_name.values()
        if points and any(implementation(each.load(), hook) for hook in points)
    )
    add(next(implementing, found.name))
    return names


def _threads() -> set[str]:
    return {f"{thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _descriptors() -> set[str]:
    """Return the open file descriptors and their targets; empty without /proc."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return set()
    found = set()
    for entry in folder.iterdir():
        try:
            found.add(f"{entry.name} -> {entry.readlink()}")
        except OSError:
            continue  # the descriptor of this listing
    return found


@contextmanager
def _said(into: list[str], what: str) -> Iterator[None]:
    """Append an exception of the block to a list, as one line."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or "no words"
        into.append(f"{what}: {type(error).__name__}: {text}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
