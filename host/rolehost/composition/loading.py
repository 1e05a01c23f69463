"""Find and import the plugins that a deployment names, and call their ``rolehost_plugin``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rolehost
from rolehost.api.contributions import PluginInfo
from rolehost.api.versions import ACCEPTED_APIS, PLUGIN_API
from rolehost.bounded import TimeLimitExceeded, bounded
from rolehost.composition.declaring import FAILED, LoadedPlugin, call_hook
from rolehost.composition.pins import Pins
from rolehost.composition.problems import Problems
from rolehost.discovery import InstalledPlugin, installed
from rolehost.discovery.hooks import HookTable, implementation
from rolehost.discovery.loading import record_effects
from rolehost.errors import ConfigurationError
from rolehost.messages import problem
from rolehost.suggest import did_you_mean, one_of


class Selection:
    """Finds and loads the enabled plugins of one composition.

    ``extra`` are plugins that are given in code and not installed, by name. ``found`` are the
    installed plugins; by default the plugins of this Python.
    """

    def __init__(
        self,
        problems: Problems,
        extra: Mapping[str, Any],
        found: Sequence[InstalledPlugin] | None = None,
    ) -> None:
        self.problems = problems
        self._extra = extra
        self.installed = installed() if found is None else tuple(found)
        self.known = {found.name for found in self.installed} | set(extra)
        #: Plugin name → imported module, including plugins that failed after the import.
        self.modules: dict[str, Any] = {}
        self._hooks = HookTable()
        self._pins = Pins(problems)

    def sources(self, name: str) -> list[InstalledPlugin]:
        """Return the distributions that provide a plugin of this name."""
        if name in self._extra:
            return [InstalledPlugin(name, "given in code", "-", type(self._extra[name]).__name__)]
        return [found for found in self.installed if found.name == name]

    def load(self, names: Iterable[str]) -> list[LoadedPlugin]:
        """Load plugins and return them; add a problem for each plugin that cannot be loaded."""
        loaded = []
        for name in names:
            found = self._find(name)
            plugin = self.load_one(found) if found is not None else None
            if plugin is None:
                # Its contributions are unknown, so missing ones are not reported.
                self.problems.unknown_contributions = True
            else:
                loaded.append(plugin)
        return loaded

    def load_one(self, found: InstalledPlugin) -> LoadedPlugin | None:
        """Import a plugin, check its hooks, and call ``rolehost_plugin``.

        On failure add a problem and return None.
        """
        name = found.name
        self.problems.owners[name] = found.who
        module = self._extra[name] if name in self._extra else self._import(found)
        if module is None:
            return None
        self.modules[name] = module
        problems = self._hooks.register(name, module, found.who)
        if problems:
            self.problems.add_raised(name, problems)
            if any(problem.code == "unknown-hook" for problem in problems):
                # The unknown hook may be a misspelt rolehost_middleware. Without its middleware
                # the service may be insecure, so this plugin cannot degrade.
                self.problems.unknown_results.add((name, "rolehost_middleware"))
            return None
        info = self._info(found, module)
        return LoadedPlugin(found, module, info) if info is not None else None

    def _find(self, name: str) -> InstalledPlugin | None:
        matches = self.sources(name)
        if len(matches) == 1:
            return matches[0]
        where = self.problems.enabled_at(name)
        if not matches:
            hint, known = did_you_mean(name, self.known), one_of(self.known)
            self.problems.add("unknown-plugin", where, hint=hint, name=name, known=known)
            return None
        self.problems.add(
            "ambiguous-plugin",
            where,
            failed=[name],
            name=name,
            count=len(matches),
            found="; ".join(f"{it.distribution} {it.version} ({it.target})" for it in matches),
            distributions=", ".join(found.distribution for found in matches),
        )
        return None

    def _import(self, found: InstalledPlugin) -> Any:
        """Return the module of a plugin, or None, with a problem, on failure.

        If the import changes the working directory or a signal handler, it has failed, and both
        are restored. A changed environment variable or a started thread is a warning.
        """
        if not self._pins.allow(found):
            return None
        seconds = self.problems.deployment.host.limits.declare
        place = f"entry point {found.name} = {found.target}"
        try:
            with record_effects() as effects:
                module = bounded(found.load, seconds, same_thread=True)
        except ConfigurationError as error:
            self.problems.add_raised(found.name, error.problems)
            return None
        except TimeLimitExceeded as error:
            names = {"module": found.target.partition(":")[0], "name": found.name}
            where = error.where or place
            self.problems.add("plugin-hung", where, failed=[found.name], seconds=seconds, **names)
            return None
        self.problems.warnings += [
            problem("side-effect", who=found.who, where=place, change=change)
            for change in effects.remaining
        ]
        if not effects.reverted:
            return module
        values = {"changes": "; ".join(effects.reverted), "name": found.name}
        self.problems.add("plugin-meddles", place, failed=[found.name], **values)
        return None

    def _info(self, found: InstalledPlugin, module: Any) -> PluginInfo | None:
        hook = "rolehost_plugin"
        if implementation(module, hook) is None:
            where = f"entry point {found.name} = {found.target}"
            self.problems.add("no-plugin-hook", where, failed=[found.name])
            return None
        info = call_hook(self.problems, found, hook, module)
        where = f"{found.target}, {hook}"
        if info is FAILED:
            return None
        if not isinstance(info, PluginInfo):
            got = type(info).__name__
            self.problems.add("hook-result.info", where, failed=[found.name], got=got)
            return None
        if type(info.api) is int and info.api in ACCEPTED_APIS:
            return info
        accepted = " or ".join(map(str, ACCEPTED_APIS))
        got, fix = _other_api(found, info.api, accepted)
        self.problems.add(
            "plugin-api",
            where,
            failed=[found.name],
            accepted=accepted,
            version=rolehost.__version__,
            spoken=PLUGIN_API,
            got=got,
            fix=fix,
        )
        return None


def _other_api(found: InstalledPlugin, api: Any, accepted: str) -> tuple[str, str]:
    """Return ``got`` and ``fix`` of the problem for a plugin API that is not accepted."""
    if type(api) is not int:
        return f"api={api!r}", f"write api={PLUGIN_API}, a whole number"
    got = f"plugin API {api}, of {found.distribution} {found.version}"
    if api < PLUGIN_API:
        return got, f"upgrade {found.distribution} to a release for plugin API {accepted}"
    other = f"install a release of {found.distribution} for plugin API {accepted}"
    return got, f"upgrade rolehost to a release that speaks plugin API {api}, or {other}"
