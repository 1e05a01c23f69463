"""Opening hosts, and closing all of them at the end of a test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rolehost.api import Role
from rolehost.deployment import Deployment

from rolehost_testing.kit.clock import BEGINNING, Clock
from rolehost_testing.kit.host import Host, Mode
from rolehost_testing.kit.logs import captured_logs
from rolehost_testing.kit.world import Backends, Sections, World


class HostOptions(TypedDict, total=False):
    """Keywords of :meth:`Hosts.__call__`."""

    settings: Sections | None
    backends: Backends
    mode: Mode
    beside: Host | None
    name: str
    roles: Collection[Role] | None
    without: tuple[str, ...]
    now: datetime
    seed: int


class Hosts:
    """Makes the hosts of one test; what the fixture ``host`` is."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []
        self._left = ExitStack()

    def __call__(
        self,
        plugins: Iterable[Any] | Mapping[str, Any] | Path | Deployment,
        *,
        settings: Sections | None = None,
        backends: Backends = "memory",
        mode: Mode = "manual",
        beside: Host | None = None,
        name: str = "test",
        roles: Collection[Role] | None = None,
        without: tuple[str, ...] = (),
        now: datetime = BEGINNING,
        seed: int = 7,
    ) -> Host:
        """Make a host of some plugins, and start it.

        Args:
            plugins: names of installed plugins, modules, objects, pairs of name and object; or
                a mapping of names to objects; or a deployment or the path of its file, whose
                plugins and settings it has then, with storage in memory.
            settings: section → keys and values, or an object of its settings type: of plugins,
                and of the host (``delivery``, …).
            backends: ``memory``; ``temporary``: the plugin ``embedded`` in a temporary folder;
                or names of plugins with backends, the first of several that offer a kind has
                it: ``("postgres", "memory")`` with ``settings={"postgres": {"url": …}}`` has a
                schema of its own there.
            mode: ``manual``: jobs and events wait for ``drain()``; ``inline``: they run after
                the commit.
            beside: another host whose database, queue, stream, cache and clock it shares; what
                ``backends``, ``now`` and ``seed`` say is not looked at then.
            name: of the deployment.
            roles: which roles it has processes of; None is all. What others would do waits for
                another host ``beside`` it.
            without: import names of libraries that it must do without.
            now: when its clock begins.
            seed: of its random sources.

        Raises:
            ConfigurationError: with every mistake in settings and plugins.
            StartError: a plugin cannot start.
        """
        if not self._hosts:
            self._left.enter_context(captured_logs())
        if beside is None:
            world = World(Clock(now), seed, backends)
            self._left.callback(world.close)
        else:
            world = beside.world
        made = Host(plugins, settings or {}, world, mode, name, roles, without)
        self._left.callback(made.close)
        self._hosts.append(made)
        return made

    def close(self) -> None:
        """Close every host, the last one first; tell what ran inline, failed and was not seen.

        Raises:
            Exception: what a job or handler raised.
        """
        unseen = [host.ran for host in self._hosts]
        self._left.close()
        self._hosts = []
        for ran in unseen:
            ran.raise_failures()


@contextmanager
def open_host(
    plugins: Iterable[Any] | Mapping[str, Any] | Path | Deployment,
    **options: Unpack[HostOptions],
) -> Iterator[Host]:
    """Make a host for a block; options as of :meth:`Hosts.__call__`."""
    hosts = Hosts()
    try:
        yield hosts(plugins, **options)
    finally:
        hosts.close()
