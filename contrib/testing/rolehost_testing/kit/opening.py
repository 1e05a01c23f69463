"""Open hosts, and close all of them at the end of a test."""

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
    """Keyword arguments of :meth:`Hosts.__call__`."""

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
    """Opens the hosts of one test; the value of the fixture ``host``."""

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
        """Create a host with some plugins, and start it.

        Args:
            plugins: names of installed plugins, modules, objects, pairs of name and object; or
                a mapping of names to objects; or a deployment or the path of its file. A
                deployment's plugins and settings are used, but with storage in memory.
            settings: section, of a plugin or the host → keys and values, or a settings object.
            backends: ``memory``; ``temporary`` (the plugin ``embedded`` in a temporary folder);
                or names of plugins with backends. If several offer a storage kind, the first
                one is used. For example, ``("postgres", "memory")`` with
                ``settings={"postgres": {"url": …}}`` uses a new schema in that database.
            mode: ``manual``: jobs and events wait for ``drain()``; ``inline``: they run after
                the commit.
            beside: another host with which the new host shares database, queue, stream, cache
                and clock. ``backends``, ``now`` and ``seed`` are then ignored.
            name: name of the deployment.
            roles: the roles whose processes this host has; None: all. Another host ``beside`` this
                one may have the other roles.
            without: import names of libraries that cannot be imported while the host is open.
            now: start time of the clock.
            seed: seed of the random sources.

        Raises:
            ConfigurationError: settings or plugins are wrong; contains every error.
            StartError: a plugin cannot start.
        """
        if not self._hosts:
            self._left.enter_context(captured_logs())
        if beside is None:
            world = World(Clock(now), seed, backends)
            self._left.callback(world.close)
        else:
            world = beside.world
        self._hosts.append(Host(plugins, settings or {}, world, mode, name, roles, without))
        self._left.callback(self._hosts[-1].close)
        return self._hosts[-1]

    def close(self) -> None:
        """Close every host, the last one first.

        Raises:
            Exception: a job or handler failed inline, and the test did not read ``ran``.
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
    """Open a host for a block; for the options, see :meth:`Hosts.__call__`."""
    hosts = Hosts()
    try:
        yield hosts(plugins, **options)
    finally:
        hosts.close()
