"""Static analysis of a plugin's sources."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

#: Modules that a plugin may import; tests and their programs also import rolehost_testing.
ALLOWED = ("rolehost.api", "rolehost_testing")

#: Functions whose first argument is an actor or its name.
_ENQUEUEING = frozenset({"enqueue", "enqueue_many"})


class Use(NamedTuple):
    """A name in the sources, and its location."""

    name: str
    site: str


def foreign(modules: Iterable[Path], base: Path) -> Iterator[Use]:
    """Yield each import of the host outside of its API."""
    for path in modules:
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                ours = name == "rolehost" or name.startswith("rolehost.")
                if ours and not any(f"{name}.".startswith(f"{each}.") for each in ALLOWED):
                    yield Use(name, _site(path, node, base))


def enqueued(modules: Iterable[Path], base: Path) -> Iterator[Use]:
    """Yield the names of enqueued actors, as far as the sources show them.

    A name may be a literal, a constant of the module, or an actor that the package defines with
    :func:`rolehost.api.actor`.
    """
    yield from _named(modules, base, _actor_of)


def published(modules: Iterable[Path], base: Path) -> Iterator[Use]:
    """Yield the topics of created events, as far as the sources show them."""
    yield from _named(modules, base, _topic_of)


def suites(tests: Iterable[Path]) -> set[str]:
    """Return the names of the conformance suites that test classes subclass."""
    return {
        name
        for path in tests
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.ClassDef)
        for name in map(_last, node.bases)
        if name.endswith("Conformance")
    }


def failures(tests: Iterable[Path]) -> int:
    """Return the number of locations in the tests that check failures.

    Counts calls of ``raises`` and ``fail_at``, integers from 400 to 599 (HTTP errors), and
    ``except`` clauses with an exception.
    """
    return sum(1 for path in tests for node in ast.walk(_parsed(path)) if _looks_at_a_failure(node))


def _looks_at_a_failure(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _last(node.func) in ("raises", "fail_at")
    if isinstance(node, ast.Constant):
        return type(node.value) is int and 400 <= node.value < 600
    if isinstance(node, ast.ExceptHandler):
        return node.type is not None
    return False


def _named(
    modules: Iterable[Path], base: Path, subject: Callable[[ast.Call], ast.expr | None]
) -> Iterator[Use]:
    parsed = {path: _parsed(path) for path in modules}
    known: dict[str, set[str]] = {}
    for tree in parsed.values():
        for name, text in _constants(tree):
            known.setdefault(name, set()).add(text)
    for path, tree in parsed.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            argument = subject(node)
            if argument is None:
                continue
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield Use(argument.value, _site(path, node, base))
            elif len(texts := known.get(_last(argument), set())) == 1:
                yield Use(next(iter(texts)), _site(path, node, base))


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the constants of a module with a text or an actor's name as value."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                for target in node.targets:
                    yield _last(target), node.value.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _last(decorator.func) == "actor":
                    named = _keyword(decorator, "name")
                    literal = named.value if isinstance(named, ast.Constant) else None
                    yield node.name, literal if isinstance(literal, str) else node.name


def _actor_of(call: ast.Call) -> ast.expr | None:
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in _ENQUEUEING):
        return None
    return call.args[0] if call.args else None


def _topic_of(call: ast.Call) -> ast.expr | None:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return _keyword(call, "topic") if _last(function) == "Event" else None


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def _last(node: ast.expr) -> str:
    """Return the last part of a name (``c`` for ``a.b.c``), or an empty text."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and node.id not in vars(builtins) else ""


def _site(path: Path, node: ast.AST, base: Path) -> str:
    place = path.relative_to(base) if path.is_relative_to(base) else path
    return f"{place}:{getattr(node, 'lineno', 0)}"


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))
