"""Versions of the plugin API.

The number rises when a plugin could have to change: something was taken away, or means something
else. What is merely added raises it too when a plugin may want to say that it needs it. It has
nothing to do with the release of the host: a plugin never caps that.

=== ==========================================================================================
api what it brought
=== ==========================================================================================
1   thirteen hooks, four storage kinds, the delivery contract
2   extension points of plugins (``PluginInfo.extension_points``); the criticality words
    ``[on_failure] = "abort" | "degrade"`` of a deployment; metrics of plugins
    (``PluginInfo.metrics``); settings refused by environment (``SettingRefused``);
    authentication of routes (``Authentication``, ``Route.open``, ``Route.trailing_slash``)
=== ==========================================================================================
"""

#: The version of the plugin API that this host speaks; it also accepts the one before.
PLUGIN_API = 2

#: Versions of the plugin API that this host accepts, newest first.
ACCEPTED_APIS = (PLUGIN_API, PLUGIN_API - 1)
