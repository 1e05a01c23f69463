"""The types of ``menu``'s extension point."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dish:
    """One line of the menu.

    Attributes:
        name: unique on the menu.
        price: in cents.
    """

    name: str
    price: int
