"""How the supervisor starts a role process; not for people."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from rolehost.api.contributions import ROLES
from rolehost.errors import ConfigurationError, RolehostError
from rolehost.roles.status import CANNOT_START, MISCONFIGURED


def main(arguments: list[str] | None = None) -> int:
    """Compose the deployment, then run one role of it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rolehost.roles")
    parser.add_argument("--role", choices=ROLES, required=True)
    parser.add_argument("--slot", type=int, default=0)
    parser.add_argument("--incarnation", type=int, default=1)
    parser.add_argument("--deployment", type=Path)
    parser.add_argument("--plugins")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except RolehostError as error:
        print(f"rolehost {given.role}: {error}", file=sys.stderr)
        return CANNOT_START


def _run(given: argparse.Namespace) -> int:
    # A start makes hundreds of thousands of objects and no garbage worth collecting.
    gc.disable()
    from rolehost.composition import compose
    from rolehost.deployment import load
    from rolehost.observe import logs
    from rolehost.roles.process import Process

    plugins = given.plugins.split(",") if given.plugins else None
    composition = compose(load(given.deployment, plugins=plugins), role=given.role)
    logs.configure(
        composition.deployment.host.log,
        deployment=composition.deployment.name,
        role=given.role,
        slot=given.slot,
    )
    process = Process(
        composition,
        role=given.role,
        slot=given.slot,
        incarnation=given.incarnation,
        announce=_announce,
    )
    role = importlib.import_module(f"rolehost.roles.{given.role}")
    # What was made so far stays: it need not be looked at again, nor copied after a fork.
    gc.freeze()
    gc.enable()
    status: int = role.run(process)
    return status


def _announce(word: str) -> None:
    number = os.environ.get("ROLEHOST_STATUS_FD")
    if number:
        # The supervisor may be gone, and this process about to follow it.
        with suppress(OSError):
            os.write(int(number), f"{word}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
