"""Where the programs of the engines are on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

#: Folders besides those of PATH: of servers, and where Debian keeps PostgreSQL's programs.
ELSEWHERE: tuple[str, ...] = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/*/bin")


class Missing(Exception):
    """An engine is not on this machine; the message says how to get it."""

    @classmethod
    def program(cls, what: str, package: str) -> Missing:
        """Make one of a program that a Debian package has."""
        return cls(
            f"{what} is not on this machine; fix: scripts/services.sh install, or"
            f" apt-get install {package}, or name a server of yours in the environment"
        )


def program(name: str, package: str) -> Path:
    """Return where a program is.

    Raises:
        Missing: it is nowhere; says which Debian package has it.
    """
    return folder((name,), name, package) / name


def folder(names: Sequence[str], what: str, package: str) -> Path:
    """Return the first folder that has all of several programs; the newest version of Debian's.

    Raises:
        Missing: there is none.
    """
    first = shutil.which(names[0])
    # What is in PATH may be a link to one program of many.
    found = [Path(first).parent, Path(first).resolve().parent] if first else []
    for pattern in ELSEWHERE:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    for each in found:
        if all((each / name).exists() for name in names):
            return each
    raise Missing.program(what, package)


def _version(bin_folder: Path) -> float:
    try:
        return float(bin_folder.parent.name)
    except ValueError:
        return 0
