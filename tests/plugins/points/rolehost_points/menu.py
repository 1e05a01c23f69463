"""The plugin ``menu``: offers the extension point ``menu_dishes`` and serves its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rolehost.api import (
    PLUGIN_API,
    ConfigurationError,
    DeclareContext,
    Extension,
    ExtensionPoint,
    PluginInfo,
    Problem,
    ProcessContext,
    Route,
    hookimpl,
)

from rolehost_points.dishes import Dish

#: The contents of the menu at the start of each process of this interpreter.
STARTED: list[list[str]] = []


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its extension point."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="A menu of what other plugins cook",
        extension_points=(
            ExtensionPoint(
                hook="menu_dishes", returns=Dish, summary="Dishes of the menu", role="http"
            ),
        ),
    )


class Menu:
    """``/menu``."""

    def __init__(self, dishes: Sequence[Extension[Dish]]) -> None:
        self.dishes = dishes

    async def on_get(self, _req: Any, resp: Any) -> None:
        """List the dishes and their plugins."""
        resp.media = [
            {"name": each.value.name, "price": each.value.price, "by": each.plugin}
            for each in self.dishes
        ]


@hookimpl
def rolehost_routes(context: DeclareContext) -> list[Route]:
    """Return the menu; two dishes with one name are an error of the deployment."""
    dishes = context.extensions.get("menu_dishes", ())
    first: dict[str, Extension[Dish]] = {}
    problems = []
    for each in dishes:
        other = first.setdefault(each.value.name, each)
        if other is not each:
            problems.append(
                Problem(
                    code="duplicate-dish",
                    who=f"{other.who}, {each.who}",
                    where=f"{other.location}; {each.location}",
                    what=f"the dish {each.value.name} is on the menu twice",
                    expected="one cook",
                    got=f"{other.plugin} and {each.plugin}",
                    fix="rename one",
                )
            )
    if problems:
        raise ConfigurationError(problems)
    return [Route("/menu", Menu(dishes))]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Record the contents of the menu."""
    STARTED.append([each.value.name for each in context.extensions["menu_dishes"]])
