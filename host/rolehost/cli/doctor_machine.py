"""What ``rolehost doctor`` looks at on this machine; connects to nothing."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import rolehost
from rolehost.cli.doctor_lines import Line, fail, ok, warn
from rolehost.composition import Composition
from rolehost.composition.declare import Contributions
from rolehost.composition.needs import needs
from rolehost.composition.report import Report
from rolehost.errors import StartError

#: Versions of Python that the tests run on: the oldest and the newest.
PYTHONS = ((3, 11), (3, 13))

#: Open files below which a process is short of them: connections of clients and to backends.
FILES = 1024

#: A requirement as metadata writes it: name, extras, versions, marker.
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|~=|<|>)\s*([0-9A-Za-z.*]+)\s*")


def versions(composition: Composition | None) -> Iterator[Line]:
    """Look at Python, the host, the plugins, and what these require."""
    found = sys.version_info[:2]
    text = f"{platform.python_implementation()} {platform.python_version()}"
    span = " to ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    if found < PYTHONS[0]:
        yield fail("python", text, f"use Python {span}")
    elif found > PYTHONS[1]:
        yield warn("python", f"{text}, which is newer than what is tested", f"use Python {span}")
    else:
        yield ok("python", text)
    roles = composition.roles if composition else ()
    yield _requirements("rolehost", rolehost.__version__, "host", frozenset(roles))
    shipped: dict[tuple[str, str], list[str]] = {}
    for plugin in composition.plugins if composition else ():
        shipped.setdefault((plugin.distribution, plugin.version), []).append(plugin.name)
    for (distribution, version), names in shipped.items():
        subject = f"plugin{'s' if len(names) > 1 else ''} {', '.join(names)}"
        yield _requirements(distribution, version, subject, frozenset())


def _requirements(distribution: str, version: str, subject: str, extras: frozenset[str]) -> Line:
    drivers: list[str] = []
    wrong: list[str] = []
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return ok(subject, f"{distribution} {version}, given in code")
    for text in required:
        match = _REQUIREMENT.match(text)
        if match is None or not _holds(match[3], extras):
            continue
        name, wanted = match[1], match[2].strip()
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if not _satisfies(there, wanted):
            wrong.append(f"{name} {there} is not {wanted}")
        elif not name.startswith("rolehost"):
            drivers.append(f"{name} {there}")
    if wrong:
        fix = f"pip install --upgrade {distribution}, or install what it asks for"
        return fail(subject, f"{distribution} {version}: {'; '.join(wrong)}", fix)
    with_drivers = f" with {', '.join(drivers)}" if drivers else ""
    return ok(subject, f"{distribution} {version}{with_drivers}")


def _holds(marker: str | None, extras: frozenset[str]) -> bool:
    """Say whether a requirement is meant here: no marker, or that of an extra alone."""
    if marker is None:
        return True
    match = re.fullmatch(r"""\s*extra\s*==\s*["'](\w+)["']\s*""", marker)
    return match is not None and match[1] in extras


def _satisfies(version: str, wanted: str) -> bool:
    """Compare releases as PEP 440 does; a clause that cannot be read is taken as satisfied."""
    there = _release(version)
    for clause in wanted.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None or match[2].endswith("*"):
            continue
        sign, bound = match[1], _release(match[2])
        width = max(len(there), len(bound))
        left = there + (0,) * (width - len(there))
        right = bound + (0,) * (width - len(bound))
        holds = {
            ">=": left >= right,
            "<=": left <= right,
            "==": left == right,
            "!=": left != right,
            ">": left > right,
            "<": left < right,
            "~=": left >= right and there[: len(bound) - 1] == bound[:-1],
        }
        if not holds[sign]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


def limits() -> Iterator[Line]:
    """Look at the limit of open files, and whether children follow a parent that is killed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}"
    if soft != resource.RLIM_INFINITY and soft < FILES:
        fix = f"ulimit -n {FILES} or more (systemd: LimitNOFILE=)"
        yield warn("open files", f"{soft} ({most})", fix)
    else:
        yield ok("open files", f"{'no limit' if soft == resource.RLIM_INFINITY else soft}")
    if sys.platform == "linux":
        yield _death_signal()
    else:
        yield warn(
            "parent death",
            f"{sys.platform} does not tell a child that its parent was killed",
            "after a kill of the supervisor, end what it left behind before the next start",
        )


def _death_signal() -> Line:
    import ctypes

    held = ctypes.c_int()
    pr_get_pdeathsig = 2  # prctl(2)
    if ctypes.CDLL(None, use_errno=True).prctl(pr_get_pdeathsig, ctypes.byref(held), 0, 0, 0):
        return warn(
            "parent death",
            f"the kernel refuses prctl: {os.strerror(ctypes.get_errno())}",
            "allow prctl in the sandbox; else a killed supervisor leaves processes behind",
        )
    return ok("parent death", "the kernel ends the processes of a killed supervisor")


def address(composition: Composition) -> Iterator[Line]:
    """Look whether the role http could listen."""
    if "http" not in composition.roles:
        return
    bind = composition.deployment.host.http.bind
    if bind.startswith("unix:"):
        folder = Path(bind.removeprefix("unix:")).parent
        if os.access(folder, os.W_OK):
            yield ok("address", f"{bind} can be made")
        else:
            fix = "make the folder and let this user write there, or change [http] bind"
            yield fail("address", f"{bind}: no writable folder {folder}", fix)
        return
    from rolehost.roles.http.listener import open_listener

    try:
        open_listener(bind).close()
    except StartError as error:
        fix = "fine when it is this deployment that runs there; else change [http] bind"
        yield warn("address", " ".join(str(error).split()), fix)
    else:
        yield ok("address", f"{bind} is free")


def secrets(composition: Composition) -> Iterator[Line]:
    """Say which secrets were read; one that could not be is a mistake of the deployment."""
    keys = sorted(key for key, origin in composition.deployment.origins.items() if origin.secret)
    if keys:
        yield ok("secrets", f"{', '.join(keys)}: read")


def capabilities(composition: Composition) -> Iterator[Line]:
    """Say what each backend gives and what is needed of it."""
    contributions = Contributions()
    for parts in (
        composition.actors.values(),
        composition.handlers,
        composition.schedules,
        composition.migrations,
        composition.routes,
    ):
        for owned in parts:
            contributions.add(owned)
    asked: dict[str, set[str]] = {}
    for need in needs(composition.plugins, contributions, Report(composition.deployment)):
        asked.setdefault(need.kind, set()).update(need.capabilities)
    for kind, chosen in composition.backends.items():
        backend, wanted = chosen.value, asked.get(kind, set())
        missing = sorted(wanted - backend.capabilities)
        if missing:
            fix = f"choose another backend in [storage] {kind}"
            yield fail("capabilities", f"{kind} {backend.name} lacks {', '.join(missing)}", fix)
        else:
            text = ", ".join(sorted(wanted)) or "nothing in particular"
            yield ok("capabilities", f"{kind} {backend.name} gives what is needed of it: {text}")
