"""From the names in a deployment to loaded plugins that have introduced themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import rolehost
from rolehost.api.contributions import PluginInfo
from rolehost.api.hooks import GROUP, DeclareContext
from rolehost.api.versions import ACCEPTED_APIS, PLUGIN_API
from rolehost.composition.pins import Pins
from rolehost.composition.report import Report
from rolehost.discovery import Found, HookTable, implementation, installed
from rolehost.discovery.watching import Effects, Overdue, bounded_here, contained
from rolehost.errors import ConfigurationError, Problem, SettingRefused, Who
from rolehost.suggest import did_you_mean, one_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that is imported and has said what it is; its settings are not decoded yet."""

    found: Found
    module: Any
    info: PluginInfo


class Selection:
    """Finds and loads the enabled plugins of one composition."""

    def __init__(
        self, report: Report, extra: Mapping[str, Any], found: Sequence[Found] | None = None
    ) -> None:
        self.report = report
        self.extra = extra
        self.installed = installed() if found is None else tuple(found)
        self.known = {found.name for found in self.installed} | set(extra)
        #: What was imported, by the names of plugins, whatever became of it then.
        self.modules: dict[str, Any] = {}
        self._hooks = HookTable()
        self._pins = Pins(report)

    def sources(self, name: str) -> list[Found]:
        """Return the distributions that bring a plugin of this name."""
        if name in self.extra:
            return [_given(name, self.extra[name])]
        return [found for found in self.installed if found.name == name]

    def load(self, names: Iterable[str]) -> list[Loaded]:
        """Return those plugins that could be loaded; the others are in the report."""
        loaded = []
        for name in names:
            mistakes = len(self.report.problems)
            plugin = self._load(name)
            if plugin is not None:
                loaded.append(plugin)
            elif len(self.report.problems) > mistakes:
                self.report.incomplete = True
        return loaded

    def _load(self, name: str) -> Loaded | None:
        found = self._find(name)
        return self.introduce(found) if found is not None else None

    def introduce(self, found: Found) -> Loaded | None:
        """Import one plugin and let it say what it is; None when that failed, as reported."""
        name = found.name
        module = self.extra[name] if name in self.extra else self._imported(found)
        if module is None:
            return None
        self.modules[name] = module
        problems = self._hooks.register(name, module, found.who)
        if problems:
            self.report.extend(problems)
            return None
        info = self._info(found, module)
        if info is None:
            return None
        self.report.owners[name] = found.who
        return Loaded(found, module, info)

    def _imported(self, found: Found) -> Any:
        """Import a plugin; None when that failed, as the report says then."""
        if not self._pins.allow(found):
            return None
        seconds = self.report.deployment.host.limits.declare
        try:
            with contained() as effects:
                module = bounded_here(found.load, seconds)
        except ConfigurationError as error:
            self.report.extend(_whose(found, error.problems))
            return None
        except Overdue as error:
            self.report.add(
                "plugin-hung",
                error.where or f"entry point {found.name} = {found.target}",
                f"importing {found.target.partition(':')[0]} did not end",
                who=found.who,
                expected=f"a module that is imported within {seconds:g} seconds, [limits] declare",
                got="it was interrupted at the line above",
                fix=f"mend the plugin, or take {found.name} out of plugins",
            )
            return None
        return None if self._meddles(found, "its import", effects) else module

    def _meddles(self, found: Found, what: str, effects: Effects) -> bool:
        """Report what code did to the process; say whether it is a mistake."""
        place = f"entry point {found.name} = {found.target}"
        for words in effects.left:
            self.report.warnings.append(
                Problem(
                    code="side-effect",
                    who=found.who,
                    where=place,
                    what=f"{what} changed the process",
                    expected="an import and hooks that only declare",
                    got=words,
                    fix="do it in rolehost_start",
                )
            )
        if effects.undone:
            self.report.add(
                "plugin-meddles",
                place,
                f"{what} changed what belongs to the host",
                who=found.who,
                expected="an import that leaves the process as it was",
                got="; ".join(effects.undone),
                fix=f"mend the plugin, or take {found.name} out of plugins",
            )
        return bool(effects.undone)

    def _find(self, name: str) -> Found | None:
        if name in self.extra:
            return _given(name, self.extra[name])
        matches = [found for found in self.installed if found.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            self._ambiguous(name, matches)
        else:
            self.report.add(
                "unknown-plugin",
                self.report.enabled_at(name),
                f"no installed distribution brings a plugin named {name}",
                expected=f"one of the installed plugins: {one_of(self.known)}",
                got=name,
                fix=did_you_mean(name, self.known)
                or f"pip install {GROUP}-{name}, or whatever package brings {name};"
                " or take it out of plugins",
            )
        return None

    def _ambiguous(self, name: str, matches: Sequence[Found]) -> None:
        sides = "; ".join(
            f"{found.distribution} {found.version} ({found.target})" for found in matches
        )
        self.report.add(
            "ambiguous-plugin",
            self.report.enabled_at(name),
            f"{len(matches)} distributions bring a plugin named {name}",
            who=Who(f"plugin {name}", [name]),
            expected="one distribution for each name of a plugin",
            got=sides,
            fix=f"uninstall all but one of {', '.join(found.distribution for found in matches)}",
        )

    def _info(self, found: Found, module: Any) -> PluginInfo | None:
        name = found.name
        hook = implementation(module, "rolehost_plugin")
        if hook is None:
            self.report.add(
                "no-plugin-hook",
                f"entry point {name} = {found.target}",
                "the plugin has no rolehost_plugin, the one required hook",
                who=found.who,
                expected="@hookimpl def rolehost_plugin(): return PluginInfo(api=2, …)",
                got="no such function",
                fix="add the hook, or correct what the entry point names",
            )
            return None
        context = DeclareContext(
            plugin=name,
            settings=None,
            deployment=self.report.deployment.name,
            environment=self.report.deployment.host.deployment.environment,
        )
        info = call_hook(self.report, found, "rolehost_plugin", module, context)
        if info is FAILED:
            return None
        if not isinstance(info, PluginInfo):
            self.report.add(
                "hook-result",
                f"{found.target}, rolehost_plugin",
                "rolehost_plugin returned something else than a PluginInfo",
                who=found.who,
                expected="one rolehost.api.PluginInfo",
                got=type(info).__name__,
                fix="return PluginInfo(api=…, …)",
            )
            return None
        if type(info.api) is not int or info.api not in ACCEPTED_APIS:
            self._api(found, info.api)
            return None
        return info

    def _api(self, found: Found, got: Any) -> None:
        host = f"rolehost {rolehost.__version__}"
        accepted = " or ".join(map(str, ACCEPTED_APIS))
        if type(got) is not int:
            said, fix = f"api={got!r}", f"write api={PLUGIN_API}, a whole number"
        elif got > PLUGIN_API:
            said = f"plugin API {got}, of {found.distribution} {found.version}"
            fix = f"upgrade rolehost to a release that speaks plugin API {got}"
            fix += f", or install a release of {found.distribution} for plugin API {accepted}"
        else:
            said = f"plugin API {got}, of {found.distribution} {found.version}"
            fix = f"upgrade {found.distribution} to a release for plugin API {accepted}"
        self.report.add(
            "plugin-api",
            f"{found.target}, rolehost_plugin",
            "the plugin was written against another plugin API",
            who=found.who,
            expected=f"plugin API {accepted}: {host} speaks {PLUGIN_API} and"
            " accepts the one before",
            got=said,
            fix=fix,
        )


def _given(name: str, plugin: Any) -> Found:
    return Found(name, "given in code", "-", type(plugin).__name__)


class _Failed:
    """What :func:`call_hook` returns when the hook raised."""


FAILED = _Failed()


def call_hook(report: Report, found: Found, hook: str, module: Any, context: Any) -> Any:
    """Call one declaring hook of one plugin.

    Returns:
        What it returned; None when it has no such hook; ``FAILED`` when it raised, which the
        report then says.
    """
    function = implementation(module, hook)
    if function is None:
        return None
    seconds = report.deployment.host.limits.declare
    try:
        with redirect_stdout(sys.stderr):  # which may be a JSON document of the command
            return bounded_here(lambda: function(context), seconds)
    except ConfigurationError as error:
        report.incomplete = True
        report.failed.add((found.name, hook))
        report.extend(_whose(found, error.problems))
        return FAILED
    except SettingRefused as error:
        _refused(report, found, error)
        return FAILED
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        report.incomplete = True
        report.failed.add((found.name, hook))
        if isinstance(error, Overdue):
            where, code, what = error.where, "hook-hung", f"{hook} did not end"
            expected = f"declarations within {seconds:g} seconds, [limits] declare"
            got = "it was interrupted at the line above"
        else:
            where, code, what = _raised_at(error), "hook-raised", f"{hook} raised {_type(error)}"
            expected = "declarations; a declaring hook does no I/O and does not raise"
            got = f"{_type(error)}: {error}"
        report.add(
            code,
            f"{where}, {hook}" if where else hook,
            what,
            who=found.who,
            expected=expected,
            got=got,
            fix=f"mend the plugin, or take {found.name} out of plugins",
        )
        return FAILED


def _whose(found: Found, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield what a plugin tells in its own words; where it names itself, as being about it."""
    for problem in problems:
        itself = problem.who in (found.who, f"plugin {found.name}")
        yield replace(problem, who=found.who) if itself else problem


def _refused(report: Report, found: Found, error: SettingRefused) -> None:
    report.incomplete = True
    mistakes = len(report.problems)
    report.add(
        "refused-setting",
        report.at(f"{found.name}.{error.setting}"),
        str(error),
        who=found.who,
        expected=error.expected,
        got=error.got,
        fix=error.fix,
    )
    # The operator's, not the plugin's: going on without it would hide it.
    report.settled.update(report.problems[mistakes:])


def _type(error: BaseException) -> str:
    return type(error).__name__


def _raised_at(error: BaseException) -> str:
    """Return ``module:line`` of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
