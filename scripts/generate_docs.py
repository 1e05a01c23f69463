"""Generate the pages of ``docs/`` that come from the code: hooks, settings, commands, proofs.

``python -m scripts.generate_docs`` writes the pages. With ``--check`` it only compares them,
prints the pages that are out of date, and exits with 1 if there are any.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
from rolehost.api import contributions, hooks
from rolehost.api.hooks import GROUP, DeclareContext, Hooks
from rolehost.cli.exits import MEANINGS
from rolehost.deployment import table_of
from rolehost.deployment.model import HostSettings
from rolehost.discovery.commands import HOST, TOOL_EXTRAS, tool_commands

from scripts import api_surface, grades_page
from scripts.docstrings import parse
from scripts.prove import proofs

#: Distributions whose plugins these pages describe.
OWN = (
    "rolehost-embedded",
    "rolehost-graphql",
    "rolehost-kafka",
    "rolehost-memcached",
    "rolehost-openapi",
    "rolehost-ops",
    "rolehost-postgres",
    "rolehost-redis",
    "rolehost-webhooks",
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = (
    "<!-- Written by scripts/generate_docs.py; change the code instead, then run `just docs`. -->"
)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


#: Maximum length of a line of code, as in pyproject.toml.
LINE = 100


def signature(name: str, fn: Callable[..., Any]) -> str:
    """Return a hook's signature as a plugin writes it, with the line breaks of ruff."""
    plain = inspect.signature(fn)
    parameters = [each for each in plain.parameters.values() if each.name != "self"]
    text = str(plain.replace(parameters=parameters)).replace("'", "")
    if len(f"def {name}{text}: ...") > LINE:
        inside, _, result = text.removeprefix("(").partition(")")
        text = "(\n" + "".join(f"    {each},\n" for each in inside.split(", ")) + f"){result}"
    return f"{name}{text}"


def specifications() -> dict[str, Callable[..., Any]]:
    """Return the hook specifications by name, in the order of the lifecycle."""
    return {name: fn for name, fn in vars(Hooks).items() if name.startswith(f"{GROUP}_")}


def hooks_page() -> str:
    """Return the hook reference."""
    parts = [NOTE, "# Hooks", *parse(hooks).body, *parse(Hooks).body]
    for name, fn in specifications().items():
        documented = parse(fn)
        parts += [f"## `{name}`", f"```python\n@hookimpl\ndef {signature(name, fn)}: ...\n```"]
        parts += documented.body[:1]
        if "Returns" in documented.sections:
            parts.append(f"Returns: {' '.join(documented.sections['Returns'].split())}")
        parts += documented.body[1:]
    parts += ["# Contributions", *parse(contributions).body]
    for kind in _declarations():
        parts += _declaration(kind)
    parts += ["# Contexts", "A hook takes one of these as `context`, or nothing."]
    for kind in (hooks.DeclareContext, hooks.ProcessContext):
        parts += _declaration(kind)
    parts += _extension_points()
    return "\n\n".join(parts) + "\n"


def _extension_points() -> Iterator[str]:
    """Yield the section about hooks that plugins add."""
    yield "# Extension points"
    yield (
        "A plugin may add hooks for other plugins to implement: extension points, in"
        " `extension_points` of its `PluginInfo`. These are the extension points of the plugins in"
        " this repository."
    )
    for kind in (contributions.ExtensionPoint, contributions.Extension):
        yield from _declaration(kind)
    for name, module, context in _plugins():
        for point in _declared(module, "rolehost_plugin", context).extension_points:
            classes = " | ".join(kind.__name__ for kind in point.classes)
            code = f"@hookimpl\ndef {point.hook}(context: DeclareContext) -> list[{classes}]: ..."
            yield f"## `{point.hook}`"
            yield f"```python\n{code}\n```"
            role = f" Read by processes of the role `{point.role}` alone." if point.role else ""
            yield f"{point.summary}; offered by `{name}`.{role}"
            for kind in point.classes:
                yield f"From `{kind.__module__.partition('.')[0]}`:"
                yield from (text.replace("## ", "### ", 1) for text in _declaration(kind))


def _declarations() -> Iterator[type[Any]]:
    yield contributions.PluginInfo
    for kinds in hooks.DECLARING.values():
        yield from (kind for kind in kinds if kind is not str)


def _declaration(kind: type[Any]) -> list[str]:
    documented = parse(kind)
    meanings = documented.entries("Attributes")
    rows = [
        (f"`{field.name}`", f"`{_type(str(field.type))}`", _default(field), meanings[field.name])
        for field in kind.__dataclass_fields__.values()
    ]
    head = ("field", "type", "default", "meaning")
    parts = [f"## `{kind.__name__}`", *documented.body, table(head, rows)]
    if methods := api_surface.methods(kind):
        parts.append("\n".join(methods))
    return parts


def _default(field: Any) -> str:
    missing = type(field.default).__name__ == "_MISSING_TYPE"
    if not missing:
        return f"`{field.default!r}`"
    factory = field.default_factory
    if type(factory).__name__ == "_MISSING_TYPE":
        return "required"
    return f"`{getattr(factory, '__name__', factory)}()`"


def _type(text: str) -> str:
    """Return a type as written in the source, without its module."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text.replace("<class '", "").rstrip("'>"))


def settings_page() -> str:
    """Return the reference of all settings: the host's sections, then the sections of plugins."""
    parts = [
        NOTE,
        "# Settings",
        "This page lists every key of a deployment file. `rolehost settings DEPLOYMENT` shows the "
        "values of a deployment and the origin of each. [deployment.md](deployment.md) explains "
        "files, includes, references and overrides.",
        "Outside of the sections below there are `plugins`, the list of enabled plugins; "
        "`include`, the files to read first; and `[on_failure]`, which maps a plugin to "
        '`"abort"` (the default) or `"degrade"` ([failures.md](failures.md)).',
        "## Of the host",
    ]
    for field in msgspec.structs.fields(HostSettings):
        named = table_of(field.type)
        name = field.name if named is None else f'{field.name}."NAME"'
        parts += _section(name, named or field.type)
    parts.append("## Of the plugins in this repository")
    for name, kind in _plugin_settings():
        parts += _section(name, kind)
    return "\n\n".join(parts) + "\n"


def _plugin_settings() -> Iterator[tuple[str, type[Any]]]:
    for name, module, context in _plugins():
        info = _declared(module, "rolehost_plugin", context)
        if info.settings is not None:
            yield name, info.settings


def _plugins() -> Iterator[tuple[str, Any, DeclareContext]]:
    """Yield the installed plugins of this repository, by name."""
    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        if entry.dist is not None and entry.dist.name in OWN:
            context = DeclareContext(plugin=entry.name, settings=None, deployment="docs")
            yield entry.name, entry.load(), context


def _declared(module: Any, hook: str, context: DeclareContext) -> Any:
    """Return the result of a plugin's hook; None if the plugin does not implement it."""
    function = getattr(module, hook, None)
    if function is None:
        return None
    return function(context) if inspect.signature(function).parameters else function()


def _section(name: str, kind: type[Any]) -> list[str]:
    documented = parse(kind)
    meanings = documented.entries("Attributes")
    written = inspect.get_annotations(kind)
    rows = []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            default = f"`{_toml(field.default)}`"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f"`{_toml(field.default_factory())}`"
        else:
            default = "required"
        rows.append(
            (f"`{field.name}`", f"`{written[field.name]}`", default, meanings.get(field.name, ""))
        )
    body = [text for text in documented.body if text.rstrip(".") != f"`[{name}]`"]
    return [f"### `[{name}]`", *body, table(("key", "type", "default", "meaning"), rows)]


def _toml(value: Any) -> str:
    """Return a default value as TOML; TOML has no null."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Path):
        return _toml(str(value))
    return msgspec.json.encode(value).decode()


def commands_page() -> str:
    """Return the commands of the host and the plugins, and the meaning of the exit statuses."""
    own = [
        (f"`rolehost {name}`", summary + (f" (`rolehost[{extra}]`)" if extra else ""))
        for name, (_, summary) in sorted({**HOST, **tool_commands()}.items())
        for extra in [TOOL_EXTRAS.get(name)]
    ]
    contributed = [
        (f"`rolehost {each.name}`", f"{each.summary} (`{plugin}`)")
        for plugin, module, context in _plugins()
        for each in _declared(module, "rolehost_commands", context) or ()
    ]
    statuses = [(str(status), meaning) for status, meaning in MEANINGS.items()]
    parts = [
        NOTE,
        "# Commands",
        "`rolehost COMMAND --help` shows the options. Every listing takes `--json`. "
        "An extra in parentheses installs the command: `pip install 'rolehost[testing]'`. "
        "`rolehost[standard]` includes `rolehost[fleet]`.",
        table(("command", "does"), own),
        "## Of the plugins in this repository",
        "A command exists if the deployment enables its plugin.",
        table(("command", "does"), contributed),
        "## Exit status",
        table(("status", "meaning"), statuses),
    ]
    return "\n\n".join(parts) + "\n"


def proofs_page() -> str:
    """Return the page of promises."""
    rows = [
        (each.promise, f"`{each.command}`", each.duration)
        for each in proofs().values()
        if not each.expected_failure
    ]
    grouped = [f"`{each.name}`" for each in proofs().values() if each.grouped]
    parts = [
        NOTE,
        "# Proofs",
        "This page lists every promise of rolehost, with the command that checks it on your "
        "machine. A proof starts what it needs, shows a progress bar and prints one line of "
        "figures. Its exit status is 1 if the promise does not hold, 2 if the usage is wrong, and "
        "3 if it cannot run here.",
        "`--seed N` repeats a run, `--short` is the smaller run that the tests use, `--json` "
        "prints one object. `scripts/prove --list` prints this list. With `--grouped`, "
        f"{', '.join(grouped[:-1])} and {grouped[-1]} check that the promise holds with group "
        "commit ([grouped jobs](jobs.md#grouped-jobs)) for all actors and handlers that allow it.",
        table(("promise", "command", "usually takes"), rows),
    ]
    return "\n\n".join(parts) + "\n"


#: Every page that is generated completely or in part, by its path in ``docs/``.
PAGES: dict[str, Callable[[], str]] = {
    "hooks.md": hooks_page,
    "plugin-api.md": lambda: api_surface.page(NOTE),
    "backend-api.md": lambda: api_surface.backend_page(NOTE),
    "grades.md": grades_page.page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "proofs.md": proofs_page,
}


def outdated() -> list[str]:
    """Return the names of the pages that do not match the code."""
    return [
        name
        for name, make in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text("utf-8") != make()
    ]


def main() -> int:
    """Write or compare the pages."""
    stale = outdated()
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is out of date; fix: just docs")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
