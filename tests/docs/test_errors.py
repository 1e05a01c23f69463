"""docs/errors.md names every error code of the code, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from rolehost.messages import texts as texts_of_problems

from tests.proofs.kit import ROOT

PAGE = ROOT / "docs/errors.md"

#: A code of a deployment or a plugin: kebab case; some have one word.
KEBAB = re.compile(r"[a-z]+(-[a-z]+)+|backlog|degraded|drift|failpoint|hang|schema")

#: A code of an HTTP response: snake case.
SNAKE = re.compile(r"[a-z]+(_[a-z]+)*")

#: Functions with string arguments that look like codes.
OTHERS = re.compile(r"(get|setdefault|pop|startswith|endswith|removeprefix|join|field|Table)$")

#: Names of this form that are no codes: a code of Svix's, and texts that several codes share.
NO_CODES = {"claimed", "degrade", "generic_error", "signature", "x-type"}

#: Codes that the sources put together from the kind of contribution.
MADE = re.compile(
    r"duplicate-(actor|backend|check|command|middleware|schedule|subscription)"
    r"|(actor|authentication|backend|check|error-format|handler|middleware|responder)-signature"
)

#: Packages in which a literal of the form of a code is one.
REPORTING = re.compile(
    r"/(composition|deployment|discovery|schema|rolehost_control|rolehost_fleet|fleet)/"
    r"|/roles/(hooks|arming)\.py|/delivery/tickstate\.py|/rolehost_graphql/merging\.py"
)


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Yield the modules that are installed, but the testing kit and its templates."""
    folders = ("host/rolehost", "plugins/*/rolehost_*", "contrib/*/rolehost_*")
    for folder in (each for pattern in folders for each in sorted(ROOT.glob(pattern))):
        for path in sorted(folder.rglob("*.py")):
            if not {"testing", "rolehost_testing"} & set(path.parts):
                yield path, ast.parse(path.read_text("utf-8"))


def texts(*nodes: ast.expr | None) -> Iterator[str]:
    """Yield the literals that an expression may have as its value."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from texts(node.body, node.orelse)
        elif isinstance(node, ast.Tuple):
            yield from texts(*node.elts)


def codes() -> set[str]:
    """Return the codes that the sources mention where codes are."""
    found: set[str] = set()
    for path, module in sources():
        reporting = REPORTING.search(f"/{path.relative_to(ROOT)}") is not None
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                given = texts(*(each.value for each in node.keywords if each.arg == "code"))
                found.update(given)
                if reporting and not OTHERS.search(ast.unparse(node.func)):
                    found.update(each for each in texts(*node.args[:2]) if "-" in each)
            elif isinstance(node, ast.Assign) and reporting:
                found.update(each for each in texts(node.value) if "-" in each)
    # Tables are named after the code, and after a dot the variant.
    found.update(name.partition(".")[0] for name in texts_of_problems())
    forms = (KEBAB, SNAKE)
    return {each for each in found if any(form.fullmatch(each) for form in forms)} - NO_CODES


def named() -> set[str]:
    """Return the codes in the first columns of the page's tables."""
    cells = [line.split("|")[1] for line in PAGE.read_text("utf-8").splitlines() if "|" in line]
    return {code for cell in cells for code in re.findall(r"`([a-z_-]+)`", cell)}


def test_every_code_of_the_sources_stands_in_the_page() -> None:
    assert len(codes()) > 100
    assert sorted(codes() - named()) == []


def test_every_code_of_the_page_is_in_the_sources() -> None:
    literals = {
        node.value
        for _, module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } | {name.partition(".")[0] for name in texts_of_problems()}
    statuses = {"not_found", "content_too_large"}
    unknown = {each for each in named() - literals - statuses if not MADE.fullmatch(each)}
    assert sorted(unknown) == []


def test_every_code_has_a_meaning_and_a_fix() -> None:
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            assert all(cell.strip() for cell in line.strip("|").split("|")), line
