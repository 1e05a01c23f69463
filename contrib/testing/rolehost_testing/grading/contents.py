"""Check that the installed package has all required files, and no tests."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from rolehost_testing.grading.subject import Subject

#: Suffixes of files that code may read at run time.
_NEEDED = (".py", ".sql", ".typed", ".html", ".js", ".css", ".json", ".toml", ".txt")

#: Patterns of files and folders that are not sources.
_STALE = ("build", "dist", "*.egg-info", ".*", "__pycache__", "var")


def missing_contents(subject: Subject) -> Iterator[str]:
    """Yield descriptions of missing and of unwanted files of the package.

    For an editable installation, this builds the wheel, which takes about two seconds.
    """
    if subject.editable:
        assert subject.source is not None  # always known for an editable installation
        names = _built(subject.source)
        if isinstance(names, str):
            yield names
            return
    else:
        names = frozenset(str(PurePosixPath(path)) for path in subject.metadata.files or ())
    for name in sorted(names):
        if PurePosixPath(name).parts[0] == "tests" or "/tests/" in name:
            yield f"{name} is a test, which users do not need"
    yield from _lacking(subject, names)


def _lacking(subject: Subject, names: Collection[str]) -> Iterator[str]:
    if subject.single:
        if f"{subject.package}.py" not in names:
            yield f"{subject.package}.py is missing"
        return
    base = subject.base
    if subject.source is not None and (subject.source / subject.package).is_dir():
        base = subject.source
    folder = base / subject.package
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        inside = path.relative_to(base).as_posix()
        if path.is_file() and path.suffix in _NEEDED and inside not in names:
            yield f"{inside} is missing"


@functools.cache
def _built(source: Path) -> frozenset[str] | str:
    """Return the file names in the wheel of a source folder, or the text of the build error."""
    with tempfile.TemporaryDirectory() as folder:
        # Build a copy: setuptools leaves a build folder, and adds its stale files to the wheel.
        clean = Path(folder, "source")
        shutil.copytree(source, clean, ignore=shutil.ignore_patterns(*_STALE))
        command = [sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--wheel-dir", folder, str(clean)]
        # Try the installed build backend first; otherwise pip downloads it.
        for options in (["--no-build-isolation"], []):
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            words = done.stderr.strip().splitlines() or ["no words"]
            return f"its wheel cannot be built: {words[-1]}"
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return frozenset(archive.namelist())
