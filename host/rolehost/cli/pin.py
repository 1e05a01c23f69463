"""``rolehost plugins --pin``: writes the version and hash of each enabled plugin to a file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rolehost.cli import exits
from rolehost.composition.pins import CannotPin, Pin, pin, render
from rolehost.deployment import Deployment
from rolehost.discovery import installed


def write(deployment: Deployment) -> int:
    """Write the pins of the enabled plugins; return the exit status.

    Nothing is imported, and nothing is written if a plugin cannot be pinned.
    """
    pins: dict[str, Pin] = {}
    refused = []
    found = installed()
    for name in deployment.plugins:
        sources = [each for each in found if each.name == name]
        if len(sources) != 1:
            count = "no installed distribution" if not sources else "more than one distribution"
            refused.append(f"{name}: {count} provides it")
            continue
        try:
            pins[name] = pin(sources[0])
        except CannotPin as error:
            who = f"{sources[0].distribution} {sources[0].version}"
            refused.append(f"{name} ({who}): {error}")
    if refused:
        for line in refused:
            click.echo(f"rolehost: cannot pin {line}", err=True)
        return exits.FAILED
    path = _path(deployment)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(render(pins), encoding="utf-8")
    draft.replace(path)
    click.echo(f"{path}: {len(pins)} plugins pinned")
    if deployment.host.deployment.pins is None:
        beside = os.path.relpath(path, deployment.path.parent if deployment.path else None)
        click.echo(f'To check the pins at every start: pins = "{beside}" in [deployment]')
    return exits.OK


def _path(deployment: Deployment) -> Path:
    if deployment.host.deployment.pins is not None:
        return deployment.host.deployment.pins
    path = deployment.path or Path("rolehost.toml")
    return path.with_name(f"{path.stem}.pins.toml")
