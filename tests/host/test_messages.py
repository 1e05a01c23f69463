"""Every problem has its texts, and every text is used and gets its values."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import rolehost
from rolehost import messages

HOST = Path(rolehost.__file__).parent

#: Functions that add a problem → the values that they add themselves.
ADDS: dict[str, set[str]] = {
    "add": set(),
    "about": set(),
    "problem": set(),
    "_add": {"name"},
    "_start_failed": {"name"},
    "never": {"name"},
    "_report": {"key", "path"},
}


def calls() -> Iterator[tuple[list[str], set[str] | None]]:
    """Yield the messages that each call may use, and its values; None if they are not known."""
    for room in ("composition", "deployment", "discovery", "roles"):
        for path in sorted((HOST / room).glob("*.py")):
            for function in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(function, ast.FunctionDef):
                    yield from calls_in(function)


def calls_in(function: ast.FunctionDef) -> Iterator[tuple[list[str], set[str] | None]]:
    tables = {
        target.id: {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = [
            each.value
            for argument in node.args[:2]
            for each in ast.walk(argument)
            if isinstance(each, ast.Constant) and each.value in messages.texts()
        ]
        if name in ADDS and words:
            given: set[str] | None = set(ADDS[name])
            for keyword in node.keywords:
                if keyword.arg is not None:
                    more: set[str] | None = {keyword.arg}
                else:
                    more = tables.get(getattr(keyword.value, "id", ""))
                given = None if more is None or given is None else given | more
            yield words, given


def placeholders(message: str) -> set[str]:
    texts = messages.texts()[message].values()
    return {
        re.split(r"[!:.\[]", name)[0]
        for text in texts
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }


def test_every_message_is_used():
    used = {word for words, _ in calls() for word in words}
    assert messages.texts().keys() - used == set()


def test_every_placeholder_is_given():
    for words, given in calls():
        for word in words:
            if given is not None:
                assert placeholders(word) <= given, word


def test_few_values_are_not_known_to_this_test():
    assert sum(given is None for _, given in calls()) <= 3


def test_every_message_has_expected_got_and_fix():
    for message, texts in messages.texts().items():
        assert list(texts) == ["what", "expected", "got", "fix"], message


def test_a_hint_replaces_the_fix():
    values = {"who": "it", "where": "here", "hook": "rolehost_rotues", "known": "none"}
    assert messages.problem("unknown-hook", hint="did you mean this?", **values).fix == (
        "did you mean this?"
    )
    assert "rename the function" in messages.problem("unknown-hook", **values).fix
