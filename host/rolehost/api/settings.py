"""Typed settings of plugins, and values that never print."""

from __future__ import annotations

from typing import Any, final

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's settings: one section of the deployment file, typed.

    Subclass it with annotated fields, ``class MySettings(Settings, frozen=True)``; a field
    without a default is required and comes first (or write ``kw_only=True`` there too: msgspec
    does not inherit it). Constraints are msgspec's
    (``Annotated[int, msgspec.Meta(ge=1)]``). Name units in the field's name or in the class's
    docstring: seconds and bytes are the rule. A field whose value is secret has the type
    :class:`Secret`. A relative :class:`pathlib.Path`, given or default, starts at the folder of
    the deployment file.
    """


@final
class Secret:
    """A text that never appears in logs, errors, tracebacks or dumps.

    ``str()``, ``repr()`` and ``format()`` show asterisks; :meth:`reveal` gives the text. It
    can be neither pickled nor encoded as JSON.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text itself; hand it to a driver, never to a log."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret('********')"

    def __str__(self) -> str:
        return "********"

    def __format__(self, spec: str) -> str:
        return format("********", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__text

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")
