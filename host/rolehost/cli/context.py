"""The deployment of a command, read and composed when it is first needed."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from rolehost.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from rolehost.api import Services
    from rolehost.composition import Composition
    from rolehost.deployment import Deployment, Sources
    from rolehost.roles.process import Process

F = TypeVar("F", bound=Callable[..., Any])

#: Environment variable that names the deployment file.
VARIABLE = "ROLEHOST_DEPLOYMENT"

#: Default deployment files; the first that exists is used.
DEFAULT_FILES = (Path("rolehost.toml"), Path("deploy/embedded.toml"))


class Examined(NamedTuple):
    """A deployment, with defaults for unreadable sections, and its errors.

    ``file_errors`` are errors of its files and of the host's settings. ``plugin_errors`` are errors
    of plugins, of their settings and of their combination. ``composition`` is None if the
    deployment cannot be composed.
    """

    deployment: Deployment
    file_errors: Sequence[Problem]
    composition: Composition | None
    plugin_errors: Sequence[Problem]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors, in order."""
        from rolehost.composition import in_order

        return in_order((*self.file_errors, *self.plugin_errors))


class Context:
    """``ctx.obj`` of every command; implements :class:`rolehost.api.CommandContext`.

    ``plugins`` is the value of ``--plugins``; None keeps the list of the file. ``owns_process``:
    this process runs only the command, so the command may configure logging.
    """

    def __init__(
        self,
        given: Path | None = None,
        plugins: tuple[str, ...] | None = None,
        *,
        owns_process: bool = False,
    ) -> None:
        self.given = given
        self.plugins = plugins
        self.owns_process = owns_process

    @property
    def path(self) -> Path | None:
        """The deployment file: given, from the environment, or a default; None without a file."""
        if self.given is not None:
            return self.given
        named = os.environ.get(VARIABLE)
        if named:
            return Path(named)
        return next((path for path in DEFAULT_FILES if path.is_file()), None)

    def command(self, words: str) -> str:
        """Return a command line, ``rolehost WORDS``, for the same deployment."""
        parts = ["rolehost", *words.split()]
        if self.given is not None:
            parts += ["-d", str(self.given)]
        if self.plugins is not None:
            parts += ["--plugins", ",".join(self.plugins)]
        return shlex.join(parts)

    @cached_property
    def sources(self) -> Sources:
        """The texts of the deployment."""
        from rolehost.deployment import Sources

        return Sources()

    @cached_property
    def _read(self) -> tuple[Deployment, Sequence[Problem]]:
        from rolehost.deployment import read

        return read(self.path, plugins=self.plugins, sources=self.sources)

    @property
    def deployment(self) -> Deployment:
        """The deployment, or ConfigurationError with all its errors; no plugin is imported."""
        deployment, file_errors = self._read
        if file_errors:
            raise ConfigurationError(file_errors)
        return deployment

    @cached_property
    def examined(self) -> Examined:
        """The deployment, read and composed if its errors allow it."""
        from rolehost.composition import examine

        deployment, file_errors = self._read
        examined = Examined(deployment, file_errors, *examine(deployment))
        if self.owns_process:
            # rolehost.cli.main disabled the garbage collector until here.
            gc.freeze()
            gc.enable()
        return examined

    @property
    def composition(self) -> Composition:
        """The composition, or ConfigurationError with every error of deployment and plugins."""
        found = self.examined
        if found.composition is None or found.file_errors:
            raise ConfigurationError(found.problems)
        return found.composition

    def services(self) -> Services:
        """Provision and start the enabled plugins in this process; they stop with the command."""
        services: Services = self._process.services
        return services

    def compositions(self, paths: Sequence[Path]) -> Sequence[Composition]:
        """Compose several deployments; ConfigurationError has every error of all of them."""
        from rolehost.composition import examine_all

        composed, mistakes = examine_all(paths)
        if mistakes:
            raise ConfigurationError(mistakes)
        return [composition for _, composition in composed]

    @cached_property
    def _process(self) -> Process:
        from rolehost.observe import logs
        from rolehost.roles.process import Process

        if self.owns_process:
            # Logs go to standard error, because the command may print a JSON document.
            logs.configure(self.composition.deployment.host.log)
        process = Process(self.composition, role="command")
        process.start()
        process.services.wait_for_writers()
        click.get_current_context().find_root().call_on_close(process.stop)
        return process


def _take_path(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Context).given = value


def _take_plugins(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        names = (name.strip() for name in value.split(","))
        ctx.ensure_object(Context).plugins = tuple(name for name in names if name)


_argument = click.argument(
    "deployment",
    required=False,
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_take_path,
)
_option = click.option(
    "-d",
    "--deployment",
    "deployment_option",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Deployment file. Default: ${VARIABLE}, ./rolehost.toml, deploy/embedded.toml.",
    expose_value=False,
    callback=_take_path,
)
_plugins = click.option(
    "--plugins",
    metavar="A,B",
    help="Enable these plugins, not those of the file.",
    expose_value=False,
    callback=_take_plugins,
)

#: Adds the option ``--json`` to a command; the function gets it as ``as_json``.
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def takes_deployment(*, argument: bool = True) -> Callable[[F], F]:
    """Let a command take ``[DEPLOYMENT]``, ``-d/--deployment`` and ``--plugins``.

    They change the :class:`Context` in ``ctx.obj``; the function gets no parameter for them.
    ``argument=False``: without ``[DEPLOYMENT]``, for commands that have other arguments.
    """

    def wrap(function: F) -> F:
        decorated = _option(_plugins(function))
        return _argument(decorated) if argument else decorated

    return wrap
