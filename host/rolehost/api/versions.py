"""Versions of the plugin API.

The number is increased if plugins may have to change because of a removal or a changed meaning. It
may also be increased for an addition, so that a plugin can require it. It does not depend on the
version of the host, which a plugin should not limit.

=== ==========================================================================================
api changes
=== ==========================================================================================
1   thirteen hooks, four storage kinds, the delivery contract
2   extension points of plugins (``PluginInfo.extension_points``); ``abort`` and ``degrade`` in
    ``[on_failure]``; metrics of plugins (``PluginInfo.metrics``); settings refused by environment
    (``SettingRefused``); authentication of routes (``Authentication``, ``Route.open``,
    ``Route.trailing_slash``)
=== ==========================================================================================
"""

#: The version of the plugin API of this host. The host also accepts the previous one.
PLUGIN_API = 2

#: Versions of the plugin API that this host accepts, newest first.
ACCEPTED_APIS = (PLUGIN_API, PLUGIN_API - 1)
