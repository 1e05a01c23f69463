"""Type variables of the generic classes of the API.

Each has a default (PEP 696), so that ``Actor`` without parameters is ``Actor[..., Any]``, also
under ``mypy --strict``. Type checkers know ``typing_extensions``; it is not imported at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    #: Parameters of the function of an actor or handler.
    P = ParamSpec("P", default=...)
    #: Result of that function.
    R_co = TypeVar("R_co", covariant=True, default=Any)
    #: Type of a plugin's settings.
    S_co = TypeVar("S_co", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)
    S_co = TypeVar("S_co", covariant=True)
