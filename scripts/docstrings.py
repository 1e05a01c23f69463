"""Parse the docstrings of this repository: Google style with a little reStructuredText."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass, field

_SECTIONS = ("Attributes", "Args", "Returns", "Raises", "Example")
#: A role and its target. Group 1 is the last name, with the class before it if there is one.
_ROLE = re.compile(r":\w+:`~?(?:[a-z_]*\.)*((?:[A-Z]\w*\.)?\w+)`")
_ENTRY = re.compile(r"(\w+): (.*)", re.DOTALL)


@dataclass(slots=True)
class Docstring:
    """The parts of a docstring, as Markdown.

    Attributes:
        body: the paragraphs outside all sections.
        sections: title → text without indentation.
    """

    body: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)

    def entries(self, title: str) -> dict[str, str]:
        """Return the entries of a section, for example ``Attributes``, by name; one line each."""
        found: dict[str, str] = {}
        for block in re.split(r"\n(?=\S)", self.sections.get(title, "")):
            match = _ENTRY.match(" ".join(block.split()))
            if match:
                found[match.group(1)] = match.group(2)
        return found


def parse(documented: object) -> Docstring:
    """Return the docstring of a class or function; empty if it has none."""
    parsed = Docstring()
    for paragraph in markdown(inspect.getdoc(documented) or "").split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if head.removesuffix(":") in _SECTIONS:
            parsed.sections[head[:-1]] = textwrap.dedent(rest)
        elif paragraph.startswith("    "):  # a code block after a line that ends with "::"
            parsed.body.append(f"```python\n{textwrap.dedent(paragraph)}\n```")
        elif paragraph.startswith("- "):
            items = re.split(r"\n(?=- )", paragraph)
            parsed.body.append("\n".join(" ".join(item.split()) for item in items))
        elif paragraph.strip(" \n:"):
            parsed.body.append(" ".join(paragraph.split()).replace("::", ":"))
    return parsed


def markdown(text: str) -> str:
    """Return the text with roles and double backticks converted to Markdown code."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")
