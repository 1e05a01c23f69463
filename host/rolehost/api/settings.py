"""Typed settings of plugins, and secrets that are never printed."""

from __future__ import annotations

from typing import Any, final

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of a plugin's settings, which are one section of the deployment file.

    Subclass it with annotated fields. A field without a default is required, and must come
    first unless the subclass has ``kw_only=True`` too (msgspec does not inherit this option).
    Constraints are ``msgspec.Meta``. Use seconds and bytes, or name the unit in the docstring. A
    secret has the type :class:`Secret`. A relative :class:`pathlib.Path`, including a default, is
    relative to the folder of the deployment file.

    Example::

        class MailSettings(Settings, frozen=True):
            server: str
            timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
            password: Secret = Secret("")
    """


@final
class Secret:
    """A text that never appears in logs, errors, tracebacks or dumps.

    ``str()``, ``repr()`` and ``format()`` return asterisks; :meth:`reveal` returns the text. A
    secret cannot be pickled or encoded as JSON.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text. Pass it to a driver, never to a log."""
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
