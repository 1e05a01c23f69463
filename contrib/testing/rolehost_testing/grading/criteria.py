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
        what="importing and declaring work without an error",
        advice="fix the errors of rolehost check; give required settings by --deployment",
    ),
    Criterion(
        name="pure",
        level="bronze",
        what="importing and declaring open no socket, file, process or thread",
        advice="move the code into rolehost_start or into the factory of a service or backend",
    ),
    Criterion(
        name="api-only",
        level="bronze",
        what="from the host it imports only rolehost.api, rolehost.api.http and"
        " rolehost.api.broker",
        advice="import the name from rolehost.api; if it is missing there, open an issue",
    ),
    Criterion(
        name="settings-typed",
        level="bronze",
        what="every setting has a type",
        advice="annotate the field with the type of its values, not with Any or object",
    ),
    Criterion(
        name="summary",
        level="bronze",
        what="PluginInfo.summary states its purpose in one line",
        advice="write summary= into the PluginInfo",
    ),
    Criterion(
        name="licence",
        level="bronze",
        what="the package's metadata names its licence",
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
        what="settings named like a secret (password, token, …) have the type Secret",
        advice="give the field the type rolehost.api.Secret",
    ),
    Criterion(
        name="hooks-typed",
        level="silver",
        what="every hook has a return annotation",
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
        advice="write statements below -- down that revert the ones below -- up",
    ),
    Criterion(
        name="api-current",
        level="gold",
        what="PluginInfo.api is the plugin API of this host",
        advice="read CHANGELOG.md, adapt the plugin, and raise api in its PluginInfo",
    ),
    Criterion(
        name="lazy-backends",
        level="gold",
        what="creating a backend opens no connection; closing it twice raises no error",
        advice="connect on first use; make close() idempotent",
    ),
    Criterion(
        name="start-stop",
        level="gold",
        what="it starts and stops in a host; stopping without a start, or twice, raises no error;"
        " no thread and no descriptor is left",
        advice="stop threads and close files in rolehost_stop or in close= of the service",
    ),
    Criterion(
        name="declared",
        level="gold",
        what="the actors that its code enqueues and the topics that it publishes to are declared",
        advice="add the name to enqueues or publishes of the PluginInfo, or to rolehost_topics",
    ),
    Criterion(
        name="conformance",
        level="gold",
        what="its tests subclass the conformance suite of every kind of its backends",
        advice="subclass it in tests/: see rolehost_testing.conformance; --source names the folder",
    ),
    Criterion(
        name="errors-tested",
        level="gold",
        what="its tests cover errors",
        advice="test refused calls: pytest.raises, a status of 400 or more, a StorageError",
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
        advice="fix them",
        optional=True,
    ),
)
