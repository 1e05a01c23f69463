"""Names of new plugins, and their validation."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

#: Maximum length of a name; longer names would make lines of the templates too long.
LONGEST = 24

_FORM = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class InvalidName(ValueError):
    """A text is not a valid plugin name; the message says why, and how to fix it."""


@dataclass(frozen=True, slots=True)
class Name:
    """A plugin's name in the spellings that a package needs.

    Attributes:
        plugin: name of the plugin and its settings section: ``guest-book``.
    """

    plugin: str

    @classmethod
    def of(cls, text: str, taken: Collection[str] = ()) -> Name:
        """Parse a name.

        Args:
            text: the author's input; a prefix ``rolehost-`` or ``rolehost_`` is removed.
            taken: names of sections and commands that the host already uses.

        Raises:
            InvalidName: the text is not a valid name.
        """
        name = re.sub(r"^rolehost[-_]", "", text)
        if not _FORM.fullmatch(name):
            near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")
            hint = f'; did you mean "{near}"?' if _FORM.fullmatch(near) else ""
            raise InvalidName(
                f"{text!r} cannot name a plugin: expected lower-case letters, digits and single"
                f" hyphens, a letter first{hint}"
            )
        if len(name) > LONGEST:
            raise InvalidName(
                f"{text!r} cannot name a plugin: {len(name)} characters, expected at most {LONGEST}"
            )
        if name in taken or name == "rolehost":
            raise InvalidName(
                f"{text!r} cannot name a plugin: the host has a section or a command of that"
                " name; choose another"
            )
        return cls(name)

    @property
    def distribution(self) -> str:
        """The name of the distribution: ``rolehost-guest-book``."""
        return f"rolehost-{self.plugin}"

    @property
    def module(self) -> str:
        """The import name: ``rolehost_guest_book``."""
        return f"rolehost_{self.identifier}"

    @property
    def identifier(self) -> str:
        """The name in identifiers and tables: ``guest_book``."""
        return self.plugin.replace("-", "_")

    @property
    def prefix(self) -> str:
        """The prefix of class names: ``GuestBook``."""
        return "".join(part.capitalize() for part in self.plugin.split("-"))
