"""Type variables of the generic names of the API; each has a default, so that ``Actor`` alone is
``Actor[..., Any]`` and asks for no parameters under ``mypy --strict``.

Source: PEP 696. Type checkers know ``typing_extensions`` by themselves; it is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    #: Parameters of the function of an actor or handler.
    P = ParamSpec("P", default=...)
    #: What that function returns.
    R_co = TypeVar("R_co", covariant=True, default=Any)
    #: Type of a plugin's settings.
    S_co = TypeVar("S_co", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)
    S_co = TypeVar("S_co", covariant=True)
