"""The reference pages agree with the code."""

from __future__ import annotations

import inspect
import re

import pytest
from rolehost.api.hooks import Hooks
from rolehost_webhooks.routes.table import RESOURCES

from scripts.generate_docs import DOCS, PAGES, specifications

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "run: just docs"


def test_there_is_no_hook_without_a_specification_that_is_documented() -> None:
    hooks = {name for name, _ in inspect.getmembers(Hooks, inspect.isfunction)}
    assert hooks == set(specifications())


@pytest.mark.parametrize("name", list(specifications()))
def test_the_signature_of_every_hook_stands_in_the_documents(name: str) -> None:
    plain = inspect.signature(specifications()[name])
    page = (DOCS / "hooks.md").read_text("utf-8")
    returned = str(plain.return_annotation).strip("'")
    assert f"def {name}(" in page
    for parameter in list(plain.parameters.values())[1:]:
        assert f"{parameter.name}: {parameter.annotation}" in page
    assert re.search(rf"def {name}\([^)]*\) -> {re.escape(returned)}", page)


def test_every_extension_point_of_ours_stands_in_the_documents() -> None:
    _, _, part = (DOCS / "hooks.md").read_text("utf-8").partition("# Extension points")
    assert "## `graphql_schema`" in part
    assert "-> list[Schema]" in part


def test_the_http_api_document_lists_every_path_with_its_methods() -> None:
    page = (DOCS / "api.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|$", page, re.MULTILINE))
    expected = {
        path.removeprefix("/api/v1"): ", ".join(
            verb for verb in VERBS if hasattr(resource, f"on_{verb.lower()}")
        )
        for path, resource in RESOURCES.items()
    }
    assert rows == expected
