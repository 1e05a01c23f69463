"""Plugins with one fault each, written and installed for the proof faulty-plugins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rolehost.api.hooks import DECLARING

from tests.check.casefile import install

#: Timeout in seconds for a plugin in the proof's deployments.
LIMIT = 0.3

BASE = """
from rolehost.api import (
    Actor, Command, Handler, Middleware, PluginInfo, Route, Schedule, StartError, actor, handler,
    hookimpl,
)


class Resource:
    async def on_get(self, req, resp):
        resp.text = "{name}"


{plugin}


{routes}


{fault}
"""

PLUGIN = """
@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2, summary="made for a proof")
"""

ROUTES = """
@hookimpl
def rolehost_routes():
    return [Route("/{name}", Resource())]
"""

RAISES = """
@hookimpl
def {hook}():
    raise ValueError("the fault of {name}")
"""

WRONG = """
@hookimpl
def {hook}():
    return {{"not": "what is asked for"}}
"""

HANGS = """
import threading


@hookimpl
def {hook}():
    threading.Event().wait(60)
"""

#: Faults at import.
IMPORTS = {
    "import-error": "raise ImportError('the fault of import-error')",
    "syntax-error": "def broken(:",
    "system-exit": "import sys\nsys.exit(7)",
    "base-exception": "class Odd(BaseException): pass\nraise Odd('the fault of base-exception')",
    "absent-library": "import a_library_that_nobody_installed",
    "import-hangs": "import threading\nthreading.Event().wait(60)",
    "working-directory": "import os\nos.chdir('/')",
    "signal-handler": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)",
}

#: Faults of the plugin's introduction.
INTRODUCTIONS = {
    "api-0": PLUGIN.replace("api=2", "api=0"),
    "api-99": PLUGIN.replace("api=2", "api=99"),
    "api-text": PLUGIN.replace("api=2", "api='1'"),
    "no-introduction": "",
}

#: Faults of the hooks, and duplicate contributions, with the code of the error.
SHAPES = {
    "misspelled-hook": ("unknown-hook", "@hookimpl\ndef rolehost_rutes(): return []"),
    "unmarked-hook": ("unmarked-hook", "def rolehost_actors(): return []"),
    "coroutine-hook": ("hook-shape", "@hookimpl\nasync def rolehost_actors(): return []"),
    "wrong-argument": ("hook-arguments", "@hookimpl\ndef rolehost_actors(ctx): return []"),
    "actor-twice": (
        "duplicate-actor",
        """
def work(context): pass

@hookimpl
def rolehost_actors(): return [actor(name="twice")(work), actor(name="twice")(work)]
""",
    ),
    "schedule-twice": (
        "duplicate-schedule",
        """
@actor(name="tick")
def tick(context): pass

@hookimpl
def rolehost_actors(): return [tick]

@hookimpl
def rolehost_schedules():
    return 2 * [Schedule(name="twice", actor=tick, every=60)]
""",
    ),
    "group-twice": (
        "duplicate-subscription",
        """
def read(context, event): pass

@hookimpl
def rolehost_handlers():
    return [
        handler(topic="things", group="twice", name=name)(read) for name in ("one", "two")
    ]
""",
    ),
    "command-twice": (
        "duplicate-command",
        """
@hookimpl
def rolehost_commands():
    return 2 * [Command(name="twice", target="sys:exit", summary="Do it.")]
""",
    ),
    "route-of-another": (
        "duplicate-route",
        ROUTES.replace("rolehost_routes", "rolehost_routes").replace("/{name}", "/good"),
    ),
    "extension-raises": ("hook-raised", RAISES.replace("{hook}", "good_words")),
}

#: Faults at start.
STARTS = {
    "start-raises": "raise ValueError('the fault of start-raises')",
    "start-refuses": "raise StartError('the fault of start-refuses')",
    "start-exits": "raise SystemExit(7)",
    "start-base": "class Odd(BaseException): pass\n    raise Odd('the fault of start-base')",
    "start-hangs": "import threading; threading.Event().wait(60)",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One plugin with one fault.

    Attributes:
        name: name of the plugin.
        code: code of the reported error.
        words: text of the error besides plugin, distribution and version.
        source: source of its module.
        serves: its route can be declared, so that it answers 503 if the plugin is degraded.
        starts: it composes, but fails at start.
        twin: a second distribution contains a plugin of the same name.
    """

    name: str
    code: str
    words: str
    source: str
    serves: bool = False
    starts: bool = False
    twin: bool = False

    @property
    def module(self) -> str:
        return "faulty_" + self.name.replace("-", "_")

    @property
    def distribution(self) -> str:
        return f"faulty-{self.name}"

    @property
    def who(self) -> str:
        if self.twin:
            return f"plugin {self.name}"
        return f"plugin {self.name} ({self.distribution} 1.2.3)"

    def install(self, site: Path, *, degradable: bool = True) -> None:
        """Install the distribution; by default it declares that it may be degraded."""
        entry = f"{self.name} = {self.module}"
        if degradable:
            entry += f"\n[rolehost.degradable]\n{entry}"
        install(site, self.distribution, "1.2.3", entry)
        if self.twin:
            install(site, f"{self.distribution}-too", "3.2.1", entry)
        (site / f"{self.module}.py").write_text(self.source, encoding="utf-8")


def written(name: str, *, plugin: str = PLUGIN, routes: str = ROUTES, fault: str = "") -> str:
    """Return the source of a plugin."""
    parts = {"plugin": plugin, "routes": routes, "fault": fault}
    return BASE.format(
        name=name, **{key: text.replace("{name}", name) for key, text in parts.items()}
    )


def cases(*, short: bool) -> list[Case]:
    """Return every case; the short form omits most cases that hang."""
    twins = "faulty-twins 1.2.3 (faulty_twins); faulty-twins-too 3.2.1 (faulty_twins)"
    found = [
        *_hooks(short),
        *_imports(),
        *_introductions(),
        *_shapes(),
        *_starts(),
        Case("twins", "ambiguous-plugin", twins, written("twins"), twin=True),
    ]
    return sorted(found, key=lambda case: case.name)


def _hooks(short: bool) -> Iterator[Case]:
    hooks = ("rolehost_plugin", *DECLARING)
    some = ("rolehost_plugin", "rolehost_routes", "rolehost_actors")
    for kind, template, code, which in (
        ("raises", RAISES, "hook-raised", hooks),
        ("wrong", WRONG, "hook-result", hooks),
        ("hangs", HANGS, "hook-hung", some if short else hooks),
    ):
        for hook in which:
            name = f"{kind}-{hook.removeprefix('rolehost_')}"
            fault = template.replace("{hook}", hook).replace("{{", "{").replace("}}", "}")
            introduction = hook == "rolehost_plugin"
            routing = hook == "rolehost_routes"
            yield Case(
                name,
                code,
                hook,
                written(
                    name,
                    plugin="" if introduction else PLUGIN,
                    routes="" if routing else ROUTES,
                    fault=fault,
                ),
                serves=not introduction and not routing,
            )


def _imports() -> Iterator[Case]:
    codes = {"import-hangs": "plugin-hung"}
    codes |= dict.fromkeys(("working-directory", "signal-handler"), "plugin-meddles")
    for name, fault in IMPORTS.items():
        code = codes.get(name, "plugin-import")
        words = "faulty_" + name.replace("-", "_")
        yield Case(name, code, words, f"{fault}\n{written(name)}")


def _introductions() -> Iterator[Case]:
    for name, text in INTRODUCTIONS.items():
        code = "no-plugin-hook" if not text else "plugin-api"
        yield Case(name, code, "rolehost_plugin", written(name, plugin=text))


def _shapes() -> Iterator[Case]:
    for name, (code, fault) in SHAPES.items():
        routing = "rolehost_routes" in fault
        words = f"faulty_{name.replace('-', '_')}" if code != "duplicate-command" else "twice"
        yield Case(
            name,
            code,
            words,
            written(name, routes="" if routing else ROUTES, fault=fault),
            serves=code.startswith(("duplicate-", "hook-raised")) and not routing,
        )


def _starts() -> Iterator[Case]:
    for name, fault in STARTS.items():
        hook = f"@hookimpl\ndef rolehost_start(context):\n    {fault}"
        yield Case(name, "", "rolehost_start", written(name, fault=hook), serves=True, starts=True)
