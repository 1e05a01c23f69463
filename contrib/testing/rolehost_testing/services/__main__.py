"""``python -m rolehost_testing.services``: engines in the background; scripts/services.sh."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from rolehost_testing.services import background, jars
from rolehost_testing.services.engines import VARIABLES
from rolehost_testing.services.server import StartFailed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="services", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="file that says what runs")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("up", "start engines in the background"), ("serve", argparse.SUPPRESS)):
        command = commands.add_parser(name, help=words)
        command.add_argument("engines", nargs="*", default=list(VARIABLES), help="default: all")
        command.add_argument("--owner", type=int, help="end with the process of this id")
    commands.add_parser("down", help="end them")
    commands.add_parser("status", help="show what runs and what is missing")
    commands.add_parser("env", help="print export lines of their URLs, for eval")
    commands.add_parser("jars", help="bring the jars of Apache Kafka into the cache")
    arguments = parser.parse_args()
    for name in getattr(arguments, "engines", ()):
        if name not in VARIABLES:
            parser.error(f"expected one of {', '.join(VARIABLES)}, got {name}")
    return arguments


def _show(running: dict[str, Any] | None) -> None:
    for name, variable in VARIABLES.items():
        if os.environ.get(variable):
            words = f"of the environment: {variable}"
        elif running is None:
            words = "not running"
        else:
            words = running["urls"].get(name) or running["missing"].get(name, "not asked for")
        print(f"{name:10} {words}", file=sys.stderr)


def main() -> int:
    """Run a command; return its exit status."""
    arguments = _parse()
    state: Path = arguments.state
    if arguments.command == "serve":
        background.serve(state, arguments.engines, arguments.owner)
    elif arguments.command == "up":
        try:
            _show(background.up(state, arguments.engines, arguments.owner))
        except StartFailed as failed:
            print(f"services: {failed}", file=sys.stderr)
            return 1
    elif arguments.command == "down":
        background.down(state)
    elif arguments.command == "jars":
        try:
            print(f"services: {jars.bring()}", file=sys.stderr)
        except OSError as error:
            print(f"services: no jars of Apache Kafka: {error}", file=sys.stderr)
            return 1
    elif arguments.command == "status":
        running = background.read(state)
        _show(running)
        return 0 if running else 1
    else:
        running = background.read(state) or {"urls": {}}
        for name, url in running["urls"].items():
            print(f"export {VARIABLES[name]}={shlex.quote(url)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
