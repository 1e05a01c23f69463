"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rolehost.cli.context import VARIABLE, Context

F = TypeVar("F", bound=Callable[..., Any])


def takes_deployment(*, argument: bool = True) -> Callable[[F], F]:
    """Let a command take ``[DEPLOYMENT]``, ``-d/--deployment`` and ``--plugins``.

    They change the :class:`Context` in ``ctx.obj``; the function gets no parameters of them.

    Args:
        argument: False leaves the positional one out, for commands with arguments of their own.
    """

    def wrap(function: F) -> F:
        decorated: Any = click.option(
            "--plugins",
            metavar="A,B",
            help="Enable these plugins instead of the deployment's.",
            expose_value=False,
            callback=_take_plugins,
        )(function)
        decorated = click.option(
            "-d",
            "--deployment",
            "deployment_option",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"Deployment file. Default: ${VARIABLE}, ./rolehost.toml, deploy/embedded.toml.",
            expose_value=False,
            callback=_take_path,
        )(decorated)
        if argument:
            decorated = click.argument(
                "deployment",
                required=False,
                type=click.Path(path_type=Path),
                expose_value=False,
                callback=_take_path,
            )(decorated)
        result: F = decorated
        return result

    return wrap


def as_json(function: F) -> F:
    """Let a command take ``--json``; it is given as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
        function
    )


def _take_path(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Context).given = value


def _take_plugins(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        names = (name.strip() for name in value.split(","))
        ctx.ensure_object(Context).plugins = tuple(name for name in names if name)
