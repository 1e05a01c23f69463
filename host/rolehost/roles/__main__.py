"""The program of a role process that is restarted or started by a reload; not for users.

``rolehost run`` forks the first processes without it, see :mod:`rolehost.supervisor.forking`.
"""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path

from rolehost.api.contributions import ROLES
from rolehost.roles.serving import exit_process, run_reporting, serve
from rolehost.roles.status import SOURCES_VARIABLE


def main(arguments: list[str] | None = None) -> int:
    """Compose the deployment, then run one role of it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rolehost.roles")
    parser.add_argument("--role", choices=ROLES, required=True)
    parser.add_argument("--slot", type=int, default=0)
    parser.add_argument("--incarnation", type=int, default=1)
    parser.add_argument("--deployment", type=Path)
    parser.add_argument("--plugins")
    parser.add_argument("--migrate", action="store_true")
    args = parser.parse_args(arguments)
    return run_reporting(args.role, lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    # A start makes hundreds of thousands of objects and little garbage, so collections cost time.
    gc.disable()
    from rolehost.composition import compose
    from rolehost.deployment import Sources, load

    plugins = args.plugins.split(",") if args.plugins else None
    descriptor = os.environ.pop(SOURCES_VARIABLE, None)
    # Without the descriptor, load() reads the files from disk.
    sources = None if descriptor is None else Sources.from_descriptor(int(descriptor))
    deployment = load(args.deployment, plugins=plugins, sources=sources)
    composition = compose(deployment, role=args.role)
    return serve(composition, args.role, args.slot, args.incarnation, migrates=args.migrate)


if __name__ == "__main__":
    exit_process(main())
