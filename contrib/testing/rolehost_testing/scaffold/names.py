"""Names of new plugins, and what may be one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

#: Most characters of a name: lines of the templates are made for it.
LONGEST = 24

_FORM = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class InvalidName(ValueError):
    """A text that no plugin can be named; the message says why, and what would do."""


@dataclass(frozen=True, slots=True)
class Name:
    """A plugin's name in the spellings that a package needs.

    Attributes:
        plugin: of the plugin and its settings section: ``guest-book``.
    """

    plugin: str

    @classmethod
    def of(cls, text: str, taken: Collection[str] = ()) -> Name:
        """Return the name that a text is.

        Args:
            text: what the author wrote; ``rolehost-`` or ``rolehost_`` before it is not part of
                the name.
            taken: names that mean something to the host already.

        Raises:
            InvalidName: it cannot be a name.
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
        """Name of the package as it is published: ``rolehost-guest-book``."""
        return f"rolehost-{self.plugin}"

    @property
    def module(self) -> str:
        """What is imported: ``rolehost_guest_book``."""
        return f"rolehost_{self.identifier}"

    @property
    def identifier(self) -> str:
        """The name in identifiers and tables: ``guest_book``."""
        return self.plugin.replace("-", "_")

    @property
    def prefix(self) -> str:
        """The name before classes: ``GuestBook``."""
        return "".join(part.capitalize() for part in self.plugin.split("-"))
