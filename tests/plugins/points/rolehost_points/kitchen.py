"""The plugin ``kitchen``: implements the extension point of ``menu``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolehost.api import PLUGIN_API, DeclareContext, PluginInfo, Settings, hookimpl

if TYPE_CHECKING:
    from rolehost_points.dishes import Dish


class KitchenSettings(Settings, frozen=True):
    """``[kitchen]``.

    Attributes:
        price: of every dish, in cents.
    """

    price: int = 500


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin; it runs without ``menu`` too."""
    return PluginInfo(api=PLUGIN_API, summary="A kitchen", settings=KitchenSettings)


@hookimpl
def menu_dishes(context: DeclareContext) -> list[Dish]:
    """Cook; imported only where there is a menu."""
    from rolehost_points.dishes import Dish

    return [Dish("soup", context.settings.price), Dish("bread", context.settings.price)]
