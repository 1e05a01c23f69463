"""Find and import the plugins that a deployment names, and call their ``rolehost_plugin``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rolehost
from rolehost.api.contributions import PluginInfo
from rolehost.api.versions import ACCEPTED_APIS, PLUGIN_API
from rolehost.bounded import Overdue, bounded
from rolehost.composition.declaring import FAILED, Loaded, call_hook, context_of, own_problems
from rolehost.composition.pins import Pins
from rolehost.composition.problems import Problems
from rolehost.discovery import Found, installed
from rolehost.discovery.hooks import HookTable, implementation
from rolehost.discovery.loading import contained
from rolehost.errors import ConfigurationError, Who
from rolehost.messages import problem
from rolehost.suggest import did_you_mean, one_of


class Selection:
    """Finds and loads the enabled plugins of one composition."""

    def __init__(
        self, problems: Problems, extra: Mapping[str, Any], found: Sequence[Found] | None = None
    ) -> None:
        self.problems = problems
        self.extra = extra
        self.installed = installed() if found is None else tuple(found)
        self.known = {found.name for found in self.installed} | set(extra)
        #: Plugin name → imported module, including plugins that failed after the import.
        self.modules: dict[str, Any] = {}
        self._hooks = HookTable()
        self._pins = Pins(problems)

    def sources(self, name: str) -> list[Found]:
        """Return the distributions that provide a plugin of this name."""
        if name in self.extra:
            return [Found(name, "given in code", "-", type(self.extra[name]).__name__)]
        return [found for found in self.installed if found.name == name]

    def load(self, names: Iterable[str]) -> list[Loaded]:
        """Load plugins and return them; add a problem for each plugin that cannot be loaded."""
        loaded = []
        for name in names:
            found = self._find(name)
            plugin = self.introduce(found) if found is not None else None
            if plugin is None:
                self.problems.incomplete = True
            else:
                loaded.append(plugin)
        return loaded

    def introduce(self, found: Found) -> Loaded | None:
        """Import one plugin and get its description; return None, with a problem, on failure."""
        name = found.name
        module = self.extra[name] if name in self.extra else self._imported(found)
        if module is None:
            return None
        self.modules[name] = module
        problems = self._hooks.register(name, module, found.who)
        if problems:
            self.problems.found.extend(problems)
            if any(problem.code == "unknown-hook" for problem in problems):
                # It may be a misspelt rolehost_middleware, so the plugin must not be left out.
                self.problems.unknown.add((name, "rolehost_middleware"))
            return None
        info = self._info(found, module)
        if info is None:
            return None
        self.problems.owners[name] = found.who
        return Loaded(found, module, info)

    def _find(self, name: str) -> Found | None:
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
            who=Who(f"plugin {name}", [name]),
            name=name,
            count=len(matches),
            found="; ".join(f"{it.distribution} {it.version} ({it.target})" for it in matches),
            distributions=", ".join(found.distribution for found in matches),
        )
        return None

    def _imported(self, found: Found) -> Any:
        if not self._pins.allow(found):
            return None
        seconds = self.problems.deployment.host.limits.declare
        place = f"entry point {found.name} = {found.target}"
        try:
            with contained() as effects:
                module = bounded(found.load, seconds, same_thread=True)
        except ConfigurationError as error:
            self.problems.found.extend(own_problems(found, error.problems))
            return None
        except Overdue as error:
            names = {"module": found.target.partition(":")[0], "name": found.name}
            where = error.where or place
            self.problems.add("plugin-hung", where, who=found.who, seconds=seconds, **names)
            return None
        self.problems.warnings += [
            problem("side-effect", who=found.who, where=place, change=change)
            for change in effects.left
        ]
        if not effects.undone:
            return module
        changes = "; ".join(effects.undone)
        self.problems.add("plugin-meddles", place, who=found.who, changes=changes, name=found.name)
        return None

    def _info(self, found: Found, module: Any) -> PluginInfo | None:
        hook = "rolehost_plugin"
        if implementation(module, hook) is None:
            where = f"entry point {found.name} = {found.target}"
            self.problems.add("no-plugin-hook", where, who=found.who)
            return None
        context = context_of(found, self.problems)
        info = call_hook(self.problems, found, hook, module, context)
        where = f"{found.target}, {hook}"
        if info is FAILED:
            return None
        if not isinstance(info, PluginInfo):
            got = type(info).__name__
            self.problems.add("hook-result.info", where, who=found.who, got=got)
            return None
        if type(info.api) is int and info.api in ACCEPTED_APIS:
            return info
        accepted = " or ".join(map(str, ACCEPTED_APIS))
        got, fix = _other_api(found, info.api, accepted)
        self.problems.add(
            "plugin-api",
            where,
            who=found.who,
            accepted=accepted,
            version=rolehost.__version__,
            spoken=PLUGIN_API,
            got=got,
            fix=fix,
        )
        return None


def _other_api(found: Found, api: Any, accepted: str) -> tuple[str, str]:
    """Return ``got`` and ``fix`` of the problem for a plugin API that is not accepted."""
    if type(api) is not int:
        return f"api={api!r}", f"write api={PLUGIN_API}, a whole number"
    got = f"plugin API {api}, of {found.distribution} {found.version}"
    if api < PLUGIN_API:
        return got, f"upgrade {found.distribution} to a release for plugin API {accepted}"
    other = f"install a release of {found.distribution} for plugin API {accepted}"
    return got, f"upgrade rolehost to a release that speaks plugin API {api}, or {other}"
