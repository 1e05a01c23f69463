"""Versions of the plugin API, and the one table of what is on its way out.

The number rises when a plugin could have to change: something was taken away, or means something
else. What is merely added raises it too when a plugin may want to say that it needs it. It has
nothing to do with the release of the host: a plugin never caps that.

=== ==========================================================================================
api what it brought
=== ==========================================================================================
1   fourteen hooks, four storage kinds, the delivery contract
2   extension points of plugins (``PluginInfo.extension_points``); the criticality words
    ``[on_failure] = "abort" | "degrade"`` of a deployment; metrics of plugins
    (``PluginInfo.metrics``); settings refused by environment (``SettingRefused``);
    authentication of routes (``Authentication``, ``Route.open``, ``Route.trailing_slash``)
=== ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The version of the plugin API that this host speaks; it also accepts the one before.
PLUGIN_API = 2

#: Versions of the plugin API that this host accepts, newest first.
ACCEPTED_APIS = (PLUGIN_API, PLUGIN_API - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """One thing that plugins should no longer use.

    A plugin that uses it is warned of by ``rolehost check`` and ``run`` while it says an API
    below ``removed``, and refused once it says ``removed`` or a later one: raising the number is
    how an author says that the change was made. The entry, and what it is about,
    leave the host together with the last API below ``removed``.

    Attributes:
        kind: ``hook``: a plugin implements it. ``argument``: an implementation of a hook has a
            parameter of this name. ``field``: a declaration sets it to something else than its
            default.
        name: ``rolehost_thing``; ``rolehost_thing(argument)``; ``Class.field``.
        since: the plugin API with which the warnings began.
        removed: the first plugin API without it; above ``since``.
        instead: what to write, as an instruction.
    """

    kind: Literal["hook", "argument", "field"]
    name: str
    since: int
    removed: int
    instead: str

    def __post_init__(self) -> None:
        if self.removed <= self.since:
            raise ValueError(f"{self.name}: removed in {self.removed}, deprecated in {self.since}")


#: Everything deprecated at this time. Nothing of plugin API 1 is, so plugins of it need no change.
DEPRECATIONS: tuple[Deprecation, ...] = ()
