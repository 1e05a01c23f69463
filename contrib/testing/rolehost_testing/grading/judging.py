"""Turn the observations about a plugin into findings for every criterion."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from rolehost.api.versions import PLUGIN_API
from rolehost.discovery import InstalledPlugin

from rolehost_testing.grading import sources
from rolehost_testing.grading.contents import missing_contents
from rolehost_testing.grading.criteria import CRITERIA, IMPORT_LIMIT, PYTHONS
from rolehost_testing.grading.model import Finding, Grade, State
from rolehost_testing.grading.subject import Subject
from rolehost_testing.grading.trial import Seen

#: Timeout of a trial in seconds.
PATIENCE = 120.0

Verdict = tuple[State, str]

_SECRET = re.compile(r"(^|_)(password|passwd|secret|token|credentials?|api_?key|private_key)$")
_DECLARING = "rolehost_testing.grading.trial"


def grade(
    found: InstalledPlugin,
    *,
    deployment: Path | None = None,
    source: Path | None = None,
    tests: bool = False,
) -> Grade:
    """Grade an installed plugin, which runs in a separate process.

    Args:
        found: the plugin.
        deployment: a deployment file with its settings; None means default settings.
        source: the folder of its sources; None means the folder of an editable installation.
        tests: also run its tests.
    """
    subject = Subject.of(found, source)
    seen = _tried(found, deployment)
    findings = []
    for criterion in CRITERIA:
        if criterion.name == "tests":
            state, detail = _tests(subject) if tests else ("open", "not run: --tests")
        elif seen.problems and criterion.name != "loads":
            state, detail = "open", "it does not load"
        else:
            state, detail = _JUDGES[criterion.name](subject, seen)
        findings.append(Finding(criterion=criterion, state=state, detail=detail))
    return Grade(
        plugin=found.name,
        distribution=found.distribution,
        version=found.version,
        findings=tuple(findings),
    )


@functools.cache
def _tried(found: InstalledPlugin, deployment: Path | None) -> Seen:
    command = [sys.executable, "-P", "-B", "-W", "ignore", "-m", _DECLARING, found.name]
    try:
        done = subprocess.run(
            [*command, str(deployment or "")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Seen(problems=[f"it did not come to an end within {PATIENCE:g} s"])
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no words"]
        return Seen(problems=[f"the process ended with status {done.returncode}: {words[-1]}"])
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Seen)


def _without(wrong: Iterable[str]) -> Verdict:
    """Return ``met`` if there are no problems, otherwise ``unmet`` with the problems."""
    found = list(wrong)
    return ("unmet", "; ".join(found)) if found else ("met", "")


def _loads(_subject: Subject, seen: Seen) -> Verdict:
    return _without(seen.problems)


def _pure(_subject: Subject, seen: Seen) -> Verdict:
    return _without(seen.acts)


def _api_only(subject: Subject, _seen: Seen) -> Verdict:
    uses = sources.foreign(subject.modules, subject.base)
    return _without(f"{use.name} at {use.site}" for use in uses)


def _settings_typed(_subject: Subject, seen: Seen) -> Verdict:
    if not seen.settings:
        return "none", ""
    return _without(field.name for field in seen.settings if not field.typed)


def _summary(_subject: Subject, seen: Seen) -> Verdict:
    return ("met", seen.summary) if seen.summary.strip() else ("unmet", "it is empty")


def _licence(subject: Subject, _seen: Seen) -> Verdict:
    headers = subject.headers
    said = headers.get("License-Expression") or headers.get("License")
    said = said or next(
        (text for text in headers.get_all("Classifier") or () if text.startswith("License ::")), ""
    )
    return ("met", said) if said else ("unmet", "its metadata says none")


def _settings_documented(_subject: Subject, seen: Seen) -> Verdict:
    if not seen.settings:
        return "none", ""
    documented = set(re.findall(r"^\s*(\w+): ", seen.documented, re.MULTILINE))
    return _without(field.name for field in seen.settings if field.name not in documented)


def _secrets(_subject: Subject, seen: Seen) -> Verdict:
    secret = [field for field in seen.settings if _SECRET.search(field.name)]
    if not secret:
        return "none", ""
    return _without(field.name for field in secret if field.text)


def _hooks_typed(_subject: Subject, seen: Seen) -> Verdict:
    return _without(seen.untyped)


def _typed(subject: Subject, _seen: Seen) -> Verdict:
    wrong = []
    if not (subject.folder / "py.typed").is_file():
        wrong.append(f"{subject.package}/py.typed is missing")
    if "Typing :: Typed" not in _classifiers(subject):
        wrong.append("the classifier Typing :: Typed is missing")
    return _without(wrong)


def _pythons(subject: Subject, _seen: Seen) -> Verdict:
    there = _classifiers(subject)
    wrong = [
        f"the classifier of Python {each} is missing"
        for each in PYTHONS
        if f"Programming Language :: Python :: {each}" not in there
    ]
    if not subject.headers.get("Requires-Python"):
        wrong.append("requires-python is missing")
    return _without(wrong)


def _classifiers(subject: Subject) -> set[str]:
    return set(subject.headers.get_all("Classifier") or ())


def _light(_subject: Subject, seen: Seen) -> Verdict:
    if seen.seconds < IMPORT_LIMIT:
        return "met", ""
    return "unmet", f"{seen.seconds:.2f} s"


def _readme(subject: Subject, seen: Seen) -> Verdict:
    if not subject.readme.strip():
        return "unmet", "there is none"
    return _without(
        f"{field.name} is not named"
        for field in seen.settings
        if not re.search(rf"\b{re.escape(field.name)}\b", subject.readme)
    )


def _reversible(_subject: Subject, seen: Seen) -> Verdict:
    return ("none", "") if seen.migrations is None else _without(seen.migrations)


def _api_current(_subject: Subject, seen: Seen) -> Verdict:
    if seen.api == PLUGIN_API:
        return "met", ""
    return "unmet", f"it says {seen.api}; this host has {PLUGIN_API}"


def _lazy_backends(_subject: Subject, seen: Seen) -> Verdict:
    return _without(seen.backends) if seen.kinds else ("none", "")


def _start_stop(_subject: Subject, seen: Seen) -> Verdict:
    return _without(seen.life)


def _declared(subject: Subject, seen: Seen) -> Verdict:
    base = subject.base
    # Plugins of one package share the code, so another plugin may declare what this one enqueues.
    enqueues, publishes = set(seen.enqueues), set(seen.publishes)
    for sibling in _others(subject):
        enqueues |= set(sibling.enqueues)
        publishes |= set(sibling.publishes)
    wrong = [
        f"the actor {use.name} at {use.site}"
        for use in sources.enqueued(subject.modules, base)
        if use.name not in enqueues
    ]
    wrong += [
        f"the topic {use.name} at {use.site}"
        for use in sources.published(subject.modules, base)
        if use.name not in publishes
    ]
    return _without(wrong)


def _others(subject: Subject) -> Iterable[Seen]:
    from rolehost.discovery import installed

    for found in installed():
        mine = found.distribution == subject.found.distribution
        if mine and found.name != subject.found.name:
            yield _tried(found, None)


def _conformance(subject: Subject, seen: Seen) -> Verdict:
    if not seen.kinds:
        return "none", ""
    if subject.tests is None:
        return "open", "its sources are not here: --source DIR"
    suites = sources.suites(subject.tests)
    return _without(
        f"no test class subclasses {kind.capitalize()}Conformance"
        for kind in seen.kinds
        if f"{kind.capitalize()}Conformance" not in suites
    )


def _errors_tested(subject: Subject, _seen: Seen) -> Verdict:
    if subject.tests is None:
        return "open", "its sources are not here: --source DIR"
    return ("met", "") if sources.failures(subject.tests) else ("unmet", "no test does")


def _wheel(subject: Subject, _seen: Seen) -> Verdict:
    return _without(missing_contents(subject))


def _tests(subject: Subject) -> Verdict:
    if subject.tests is None or subject.source is None:
        return "open", "its sources are not here: --source DIR"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests"]
    done = subprocess.run(command, cwd=subject.source, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["no words"])[-1]
    return ("met" if done.returncode == 0 else "unmet"), last.strip("= ")


_JUDGES: Mapping[str, Callable[[Subject, Seen], Verdict]] = {
    "loads": _loads,
    "pure": _pure,
    "api-only": _api_only,
    "settings-typed": _settings_typed,
    "summary": _summary,
    "licence": _licence,
    "settings-documented": _settings_documented,
    "secrets": _secrets,
    "hooks-typed": _hooks_typed,
    "typed": _typed,
    "pythons": _pythons,
    "light": _light,
    "readme": _readme,
    "reversible": _reversible,
    "api-current": _api_current,
    "lazy-backends": _lazy_backends,
    "start-stop": _start_stop,
    "declared": _declared,
    "conformance": _conformance,
    "errors-tested": _errors_tested,
    "wheel": _wheel,
}
