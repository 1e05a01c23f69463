"""The criteria by level, with advice on how to meet them."""

from __future__ import annotations

from rolehost_testing.grading.model import Criterion

#: Maximum processor time in seconds for a plugin's import and declarations.
IMPORT_LIMIT = 0.75

#: Python versions that the host supports.
PYTHONS = ("3.11", "3.12", "3.13")

CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        name="loads",
        level="bronze",
        what="it is imported and declares without a mistake",
        advice="mend what rolehost check says; give required settings by --deployment",
    ),
    Criterion(
        name="pure",
        level="bronze",
        what="importing and declaring open no socket, file, process or thread",
        advice="move what acts into rolehost_start or into the factory of a service or backend",
    ),
    Criterion(
        name="api-only",
        level="bronze",
        what="of the host it imports rolehost.api alone (in routes rolehost.api.http)",
        advice="import the name from rolehost.api, or ask for it there",
    ),
    Criterion(
        name="settings-typed",
        level="bronze",
        what="every setting has a type",
        advice="annotate the field with what it takes, not with Any or object",
    ),
    Criterion(
        name="summary",
        level="bronze",
        what="PluginInfo.summary says in one line what it is for",
        advice="write summary= into the PluginInfo",
    ),
    Criterion(
        name="licence",
        level="bronze",
        what="the package says its licence",
        advice="write license = SPDX-NAME into the package's metadata",
    ),
    Criterion(
        name="settings-documented",
        level="silver",
        what="the class of its settings describes every field",
        advice="describe the field under Attributes: in the docstring, with its unit",
    ),
    Criterion(
        name="secrets",
        level="silver",
        what="settings whose names tell of secrets have the type Secret",
        advice="give the field the type rolehost.api.Secret",
    ),
    Criterion(
        name="hooks-typed",
        level="silver",
        what="every hook says what it returns",
        advice="annotate the hook: -> Sequence[Route]",
    ),
    Criterion(
        name="typed",
        level="silver",
        what="the package carries py.typed, and the classifier Typing :: Typed",
        advice="add the empty file py.typed to the package and to its package data",
    ),
    Criterion(
        name="pythons",
        level="silver",
        what=f"its classifiers and requires-python hold for Python {', '.join(PYTHONS)}",
        advice="test on each and add Programming Language :: Python :: 3.x",
    ),
    Criterion(
        name="light",
        level="silver",
        what=f"importing and declaring take less than {IMPORT_LIMIT:g} s of processor time",
        advice="import drivers and frameworks within the hooks and factories that need them",
    ),
    Criterion(
        name="readme",
        level="silver",
        what="the README names every setting",
        advice="add a table of the settings, with units and defaults",
    ),
    Criterion(
        name="reversible",
        level="silver",
        what="its migrations go up, down and up again",
        advice="write below -- down what takes back the statements of -- up",
    ),
    Criterion(
        name="api-current",
        level="gold",
        what="it says the plugin API of this host",
        advice="read CHANGELOG.md, adapt the plugin, and raise api in its PluginInfo",
    ),
    Criterion(
        name="lazy-backends",
        level="gold",
        what="making a backend connects to nothing; closing it twice is fine",
        advice="connect when the backend is first used; let close() be repeated",
    ),
    Criterion(
        name="start-stop",
        level="gold",
        what="it starts and stops in a host, stops without a start and twice, and leaves no"
        " thread and no descriptor",
        advice="end in rolehost_stop, or in close= of the service, what rolehost_start began",
    ),
    Criterion(
        name="declared",
        level="gold",
        what="what its code enqueues and publishes is declared",
        advice="add the name to enqueues or publishes of the PluginInfo, or to rolehost_topics",
    ),
    Criterion(
        name="conformance",
        level="gold",
        what="its tests subclass the conformance suite of every kind of its backends",
        advice="subclass it in tests/: see rolehost_testing.conformance; --source tells where",
    ),
    Criterion(
        name="errors-tested",
        level="gold",
        what="its tests look at failures too",
        advice="test what is refused: pytest.raises, a status of 400 or more, a StorageError",
    ),
    Criterion(
        name="wheel",
        level="gold",
        what="the package carries its modules, SQL and py.typed, and no tests",
        advice="name packages and package data in the metadata; keep tests out of them",
    ),
    Criterion(
        name="tests",
        level="gold",
        what="its tests pass",
        advice="mend them",
        optional=True,
    ),
)
