"""Which deployment a command is about, composed when first asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolehost.api import Services
    from rolehost.composition import Composition
    from rolehost.deployment import Deployment, Sources
    from rolehost.roles.process import Process

#: Environment variable that names the deployment file.
VARIABLE = "ROLEHOST_DEPLOYMENT"

#: Files that are taken when none is named, first one that exists.
USUAL = (Path("rolehost.toml"), Path("deploy/embedded.toml"))


class Context:
    """``ctx.obj`` of every command; implements :class:`rolehost.api.CommandContext`.

    Attributes:
        given: the deployment file named on the command line; None when none was.
        plugins: what ``--plugins`` says; None keeps the file's list.
        owns_process: this process is there for the command alone, so that its logs may be set up.
    """

    def __init__(self, *, owns_process: bool = False) -> None:
        self.owns_process = owns_process
        self.given: Path | None = None
        self.plugins: tuple[str, ...] | None = None

    @property
    def path(self) -> Path | None:
        """The deployment file: named, from the environment, or a usual one; None: there is none."""
        if self.given is not None:
            return self.given
        named = os.environ.get(VARIABLE)
        if named:
            return Path(named)
        return next((path for path in USUAL if path.is_file()), None)

    @cached_property
    def sources(self) -> Sources:
        """The texts that the deployment is made of, noted as they are read."""
        from rolehost.deployment import Sources

        return Sources()

    @cached_property
    def deployment(self) -> Deployment:
        """The deployment, read.

        Raises:
            ConfigurationError: it has mistakes.
        """
        from rolehost.deployment import load

        return load(self.path, plugins=self.plugins, sources=self.sources)

    @cached_property
    def composition(self) -> Composition:
        """The composition of the deployment.

        Raises:
            ConfigurationError: with every mistake of the deployment and its plugins.
        """
        from rolehost.composition import examine, in_order
        from rolehost.deployment import read
        from rolehost.errors import ConfigurationError

        deployment, mistakes = read(self.path, plugins=self.plugins, sources=self.sources)
        composition, problems = examine(deployment)
        if composition is None or mistakes:
            raise ConfigurationError(in_order((*mistakes, *problems)))
        return composition

    def services(self) -> Services:
        """Provision and start the enabled plugins in this process; closed with the command.

        Raises:
            ConfigurationError: the deployment has mistakes.
            RolehostError: storage cannot be reached, or a plugin's start failed.
        """
        services: Services = self._process.services
        return services

    def compositions(self, paths: Sequence[Path]) -> Sequence[Composition]:
        """Compose several deployments, for documents of a fleet.

        Raises:
            ConfigurationError: with every mistake of every deployment.
        """
        from rolehost.composition.several import examine_all
        from rolehost.errors import ConfigurationError

        composed, mistakes = examine_all(paths)
        if mistakes:
            raise ConfigurationError(mistakes)
        return [composition for _, composition in composed]

    @cached_property
    def _process(self) -> Process:
        from rolehost.observe import logs
        from rolehost.roles.process import Process

        if self.owns_process:
            # To standard error: what the command prints may be a JSON document.
            logs.configure(self.composition.deployment.host.log)
        process = Process(self.composition, role="command")
        process.start()
        process.services.wait_for_writers()
        click.get_current_context().find_root().call_on_close(process.stop)
        return process
