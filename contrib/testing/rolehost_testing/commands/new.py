"""``rolehost new``: generate packages and deployments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rolehost.cli.output import print_problems
from rolehost.deployment import HOST_SECTIONS
from rolehost.discovery.commands import RESERVED
from rolehost.storage import Kind

from rolehost_testing.scaffold import (
    BACKENDS,
    LICENSES,
    Files,
    InvalidName,
    Name,
    Options,
    Unknown,
    backend,
    check_text,
    deployment,
    plugin,
    write,
)

F = TypeVar("F", bound=Callable[..., Any])

_dry_run = click.option(
    "--dry-run", is_flag=True, help="List what would be written; write nothing."
)


@click.group()
def new() -> None:
    """Create a plugin, a storage backend or a deployment. No file is overwritten."""


def _takes_package(function: F) -> F:
    for decorate in (
        _dry_run,
        click.option(
            "--license",
            "license_name",
            type=click.Choice(list(LICENSES), case_sensitive=False),
            default="Apache-2.0",
            show_default=True,
            help="Licence of the package, as SPDX writes it.",
        ),
        click.option("--author", default="", help="Who is named as the author."),
        click.option("--summary", default="", help="One line that says what it is for."),
        click.option(
            "--into",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder of the package, new or empty. Default: ./rolehost-NAME.",
        ),
        click.argument("name"),
    ):
        function = decorate(function)
    return function


@new.command("plugin")
@_takes_package
def new_plugin(
    name: str, into: Path | None, summary: str, author: str, license_name: str, dry_run: bool
) -> None:
    """Write a package with one of each contribution, tests, and a deployment to try it.

    NAME is the name of the plugin, in lower-case letters, digits and hyphens. The package is
    rolehost-NAME, its settings section [NAME]. Its tests pass: run tox in the folder.
    """
    named = _name(name)
    made = plugin(named, _options(summary, author, license_name))
    folder = into or Path(named.distribution)
    _write_package(made, folder, dry_run=dry_run)
    if not dry_run:
        click.echo(f"next: cd {folder} && pip install -e '.[test]' && rolehost run")


@new.command("backend")
@click.option(
    "--kind",
    type=click.Choice(list(BACKENDS)),
    required=True,
    help="Storage kind that it implements.",
)
@_takes_package
def new_backend(
    name: str,
    kind: Kind,
    into: Path | None,
    summary: str,
    author: str,
    license_name: str,
    dry_run: bool,
) -> None:
    """Write a package with a storage backend that works, and its conformance suite.

    The backend is small and passes the suite; replace it piece by piece.
    """
    named = _name(name)
    made = backend(named, kind, _options(summary, author, license_name))
    folder = into or Path(named.distribution)
    _write_package(made, folder, dry_run=dry_run)
    if not dry_run:
        click.echo(f"next: cd {folder} && pip install -e '.[test]' && pytest")


@new.command("deployment")
@click.argument("name")
@click.option("--plugins", metavar="A,B", help="Plugins to enable, among those installed.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["http", "worker", "consumer", "scheduler"]),
    help="Role of the deployment; can be repeated. Default plugins: those that contribute to it.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Folder of the file NAME.toml. Default: the working directory.",
)
@_dry_run
def new_deployment(
    name: str, plugins: str | None, roles: tuple[str, ...], into: Path, dry_run: bool
) -> None:
    """Write a deployment file that enables installed plugins, with their settings.

    Settings are comments that show the defaults. The command lists the settings without a default;
    when they are filled in, the file passes rolehost check.
    """
    names = tuple(filter(None, (each.strip() for each in (plugins or "").split(","))))
    try:
        text = deployment(Name.of(name).plugin, names, roles)
    except InvalidName as error:
        raise click.BadParameter(str(error)) from error
    file = into / f"{name}.toml"
    missing, others = check_text(file, text)
    if others:
        print_problems(others)
        raise Unknown("nothing was written: rolehost check would refuse this deployment")
    if dry_run:
        click.echo(f"{file}\n\n{text}", nl=False)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError as error:
        raise click.ClickException(f"{file} exists; nothing was overwritten") from error
    click.echo(f"wrote {file}")
    if missing:
        click.echo(f"fill in: {', '.join(missing)}")
    click.echo(f"next: rolehost check {file}")


def _name(text: str) -> Name:
    try:
        return Name.of(text, {*HOST_SECTIONS, *RESERVED})
    except InvalidName as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error


def _options(summary: str, author: str, license_name: str) -> Options:
    try:
        return Options(summary=summary, author=author, license=license_name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _write_package(made: Files, folder: Path, *, dry_run: bool) -> None:
    if dry_run:
        for path in made:
            click.echo(folder / path)
        return
    try:
        write(made, folder)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {folder}: {len(made)} files")
