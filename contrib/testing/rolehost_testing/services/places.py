"""Find the programs of the engines on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

#: Folders to search after PATH: for servers, and for PostgreSQL on Debian.
ELSEWHERE: tuple[str, ...] = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/*/bin")


class Missing(Exception):
    """An engine is not on this machine; the message says how to install it."""

    @classmethod
    def program(cls, what: str, package: str) -> Missing:
        """Make the error for a missing program that a Debian package contains."""
        return cls(
            f"{what} is not on this machine; fix: scripts/services.sh install, or"
            f" apt-get install {package}, or name a server of yours in the environment"
        )


def program(name: str, package: str) -> Path:
    """Return the path of a program.

    Raises:
        Missing: the program was not found; the message names its Debian package.
    """
    return folder((name,), name, package) / name


def folder(names: Sequence[str], what: str, package: str) -> Path:
    """Return the first folder that has all programs; of Debian's folders, the newest version.

    Raises:
        Missing: there is no such folder.
    """
    first = shutil.which(names[0])
    # The program in PATH may be a link into a folder with all the programs.
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
