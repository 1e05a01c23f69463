"""Plugins with every kind of fault: some are refused, some degraded, and the others run on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rolehost.api import ROLES

from tests.check.casefile import install
from tests.proofs.faulty_cases import LIMIT, Case, cases, written
from tests.proofs.kit import Figures, Options
from tests.proofs.running import READY, eventually, free_port, running

PROMISE = (
    "A plugin that raises, hangs, gives the wrong thing, lacks a library or claims another's name"
    " is refused or degraded as configured, with plugin, distribution, version and hook in the"
    " message; the others answer, and the drain ends within its grace."
)
DURATION = "60 s"

#: A plugin without fault, whose routes must always answer. It has a contribution of each kind, so
#: that every role runs together with the faulty plugins.
GOOD = written(
    "good",
    plugin="""
from rolehost.api import ExtensionPoint


@hookimpl
def rolehost_plugin():
    point = ExtensionPoint(hook="good_words", returns=str, summary="Words.")
    return PluginInfo(
        api=2, extension_points=(point,), enqueues=("good-work",), publishes=("good-things",)
    )
""",
    fault="""
from pathlib import Path


@actor(name="good-work")
def work(context):
    Path("good.worked").touch()


@handler(topic="good-things", group="good")
def read(context, event):
    pass


@hookimpl
def rolehost_actors():
    return [work]


@hookimpl
def rolehost_handlers():
    return [read]


@hookimpl
def rolehost_schedules():
    return [Schedule(name="good-often", actor=work, every=1)]


@hookimpl
def rolehost_stop(context):
    Path(f"good.stopped.{context.role}").touch()
""",
)

#: Faults at the stop of a process; they must not prevent the stop of other plugins.
ENDS = {
    "stop-raises": "rolehost_stop(context): raise ValueError('the fault of stop-raises')",
    "stop-hangs": "rolehost_stop(context): __import__('threading').Event().wait(60)",
}

#: Timeout in seconds for the stop of a plugin.
END = 0.5

#: Timeout in seconds for a plugin if the plugins without fault are imported too.
AMPLE = 2.0

#: Timeout in seconds for a process to stop; far below the grace periods of the roles.
GRACE = 20.0

#: Plugins without which the host must not run: name → (source, code of the error).
NEVER = {
    "guard": (
        "@hookimpl\ndef rolehost_middleware():\n"
        "    return [Middleware('guard', Resource(), security=True)]",
        "degrade-security",
    ),
    "needed": ("", "degrade-required"),
}


def prove(options: Options) -> Figures:
    """Check each fault both ways, then run a deployment with all of them at once."""
    found = cases(short=options.short)
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        ground = Ground(Path(name))
        for case in found:
            case.install(ground.site)
        line = options.progress(4, "refusing")
        ground.refused([case for case in found if not case.starts])
        starts = [case for case in found if case.starts]
        for case in starts[:2] if options.short else starts:
            ground.does_not_start(case)
        ground.tolerated()
        line.advance()
        line.relabel("what may not be degraded")
        never = ground.never()
        line.advance()
        line.relabel("degrading")
        ground.degraded([case for case in found if not case.starts])
        line.advance()
        line.relabel("running with all of them")
        hanging = [case for case in found if case.code == "hook-hung"]
        kept = hanging[:1] if options.short else hanging
        answered = ground.goes_on([case for case in found if case not in hanging or case in kept])
        line.advance()
    return {
        "faults": len(found) + len(ENDS),
        "refused": len(found),
        "never_degraded": never,
        "degraded": len(found),
        **answered,
    }


class Ground:
    """A folder with deployments and a site folder with plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.port = free_port()
        self.plugin("good", GOOD)
        for name, words in ENDS.items():
            self.plugin(name, written(name, fault=f"@hookimpl\ndef {words}"))

    def plugin(self, name: str, source: str) -> None:
        """Install a plugin."""
        module = f"proof_{name.replace('-', '_')}"
        install(self.site, f"proof-{name}", "1.0", f"{name} = {module}")
        (self.site / f"{module}.py").write_text(source, encoding="utf-8")

    def deployment(
        self, file: str, plugins: Iterable[str], degrade: Iterable[str] = (), limit: float = LIMIT
    ) -> Path:
        """Write a deployment file with a timeout in seconds for plugins that hang."""
        limits = {"declare": limit, "start": limit, "stop": END}
        path = self.folder / file
        path.write_text(
            f"plugins = {json.dumps(['embedded', *plugins])}\n"
            f'[http]\nbind = "127.0.0.1:{self.port}"\n'
            f'[embedded]\npath = "{self.folder}/service.db"\n'
            "[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items())
            + "[on_failure]\n" + "".join(f'{name} = "degrade"\n' for name in degrade)
        )  # fmt: skip
        return path

    def command(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Run ``rolehost``; return its status, standard output and standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "rolehost", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: with the site folder, without the caller's deployment."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ROLEHOST")}
        return kept | {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}

    def check(self, files: Mapping[str, Path]) -> tuple[int, dict[str, Any]]:
        """Check deployments with one command; return its status and a document for each.

        The imports of the plugins without fault come first, with enough time.
        """
        first = self.deployment("first.toml", ["ops", "good"], limit=AMPLE)
        files = {"first": first, **files}
        status, text, words = self.command("check", "--json", *files.values())
        try:
            documents = json.loads(text)
        except ValueError:
            raise AssertionError(f"no JSON on standard output:\n{text}\n{words}") from None
        return status, dict(zip(files, documents, strict=True))

    def refused(self, found: Iterable[Case]) -> None:
        """Assert that each fault alone is an error that names the plugin and the fix."""
        files = {
            case.name: self.deployment(f"abort-{case.name}.toml", ["good", case.name])
            for case in found
        }
        status, documents = self.check(files)
        assert status == 3, status
        for case in found:
            announced = [
                problem
                for problem in documents[case.name]["problems"]
                if problem["code"] == case.code and case.who in problem["who"]
            ]
            assert announced, f"{case.name}: {documents[case.name]['problems']}"
            words = " ".join(announced[0].values())
            assert case.words in words, f"{case.words!r} is not in {announced[0]}"
            assert all(announced[0].values()), announced[0]

    def tolerated(self) -> None:
        """Assert that prints stay out of the output and that lasting changes give a warning."""
        self.plugin("loud", "print('words at import')\n" + written("loud"))
        self.plugin("moody", "import os\nos.environ['MOOD'] = 'low'\n" + written("moody"))
        _, documents = self.check(
            {name: self.deployment(f"{name}.toml", [name]) for name in ("loud", "moody")}
        )
        assert documents["loud"]["ok"] and not documents["loud"]["warnings"], documents["loud"]
        (warning,) = documents["moody"]["warnings"]
        assert warning["code"] == "side-effect" and "MOOD" in warning["got"], warning
        assert "proof-moody 1.0" in warning["who"], warning

    def does_not_start(self, case: Case) -> None:
        """Assert that a fault at start ends the command with one line."""
        path = self.deployment("start.toml", ["good", case.name])
        status, text, words = self.command("run", path)
        said = text + words
        assert status in (3, 4), (status, said)
        line = next((line for line in said.splitlines() if case.who in line), "")
        assert case.words in line and f"remove {case.name} from plugins" in line, said

    def never(self) -> int:
        """Assert that security, the database and required plugins cannot be degradable."""
        for name, (fault, _) in NEVER.items():
            self.plugin(name, written(name, fault=fault))
        self.plugin("needing", written("needing").replace("api=2", "api=2, depends=('needed',)"))
        unsaid = Case("unsaid", "cannot-degrade", "", "raise ImportError('no')")
        unsaid.install(self.site, degradable=False)
        files = {
            "guard": self.deployment("guard.toml", ["guard"], ["guard"]),
            "needed": self.deployment("needed.toml", ["needed", "needing"], ["needed"]),
            "embedded": self.deployment("database.toml", ["raises-actors"], ["embedded"]),
            "unsaid": self.deployment("unsaid.toml", ["good", "unsaid"], ["unsaid"]),
        }
        # The database counts only if a plugin needs it.
        self.plugin("keeper", written("keeper").replace("api=2", "api=2, requires=('database',)"))
        files["embedded"] = self.deployment("database.toml", ["keeper"], ["embedded"])
        _, documents = self.check(files)
        codes = {name: {each["code"] for each in document["problems"]}
                 for name, document in documents.items()}  # fmt: skip
        wanted = {name: code for name, (_, code) in NEVER.items()}
        wanted |= {"embedded": "degrade-database", "unsaid": "cannot-degrade"}
        for name, code in wanted.items():
            assert code in codes[name], f"{name}: {codes[name]}"
        return len(wanted)

    def degraded(self, found: Iterable[Case]) -> None:
        """Assert that each fault alone leaves out its plugin and keeps the other one."""
        files = {
            case.name: self.deployment(
                f"degrade-{case.name}.toml", ["good", case.name], [case.name]
            )
            for case in found
        }
        status, documents = self.check(files)
        for case in found:
            document = documents[case.name]
            assert document["ok"], f"{case.name}: {document['problems']}"
            assert document["plugins"] == ["embedded", "good"], document["plugins"]
            assert any(
                each["code"] == "degraded" and case.code in each["what"] and case.who in each["who"]
                for each in document["warnings"]
            ), f"{case.name}: {document['warnings']}"
        assert status == 0, status

    def goes_on(self, found: list[Case]) -> dict[str, Any]:
        """Run with every faulty plugin degraded: the others answer, and the stop is in time."""
        names = [case.name for case in found]
        path = self.deployment("all.toml", ["ops", "good", *ENDS, *names], names, limit=AMPLE)
        command = [sys.executable, "-m", "rolehost", "run", str(path)]
        refusing = 0
        with running(command, self.folder, self.environment) as host:
            host.until(READY)
            for name in ("good", *ENDS):
                assert self.get(f"/{name}")[0] == 200, name
            for case in found:
                status, headers, body = self.get(f"/{case.name}")
                if case.serves:
                    refusing += 1
                    assert status == 503 and headers["Retry-After"], (case.name, status, body)
                    assert json.loads(body)["code"] == "plugin_degraded", body
                    assert case.name in body and "fault" not in body, body
                else:
                    assert status == 404, (case.name, status, body)
            status, _, body = self.get("/readyz")
            assert (status, json.loads(body)["status"]) == (200, "degraded"), body
            assert json.loads(body)["degraded"] == sorted(names), body
            metrics = self.get("/metrics")[2]
            for name in names:
                assert f'rolehost_plugin_degraded{{plugin="{name}"}} 1.0' in metrics, name
            worked = self.folder / "good.worked"
            assert eventually(worked.exists, bool, seconds=10), host.output
            status = host.stop(seconds=GRACE)
            assert status == 0, host.output
            for name in ENDS:
                assert (
                    f"plugin={name}" in host.output
                    or f'"plugin": "{name}"' in host.output
                    or f'"plugin":"{name}"' in host.output
                ), f"{name} is not announced:\n{host.output}"
        marks = [f"good.stopped.{role}" for role in ROLES]
        for mark in ("good.worked", *marks):
            assert (self.folder / mark).exists(), f"{mark}: {host.output}"
        return {"answered_503": refusing, "answered_200": 1 + len(ENDS), "roles": len(ROLES)}

    def get(self, path: str) -> tuple[int, Mapping[str, str], str]:
        """Send a GET to the running deployment; return status, headers and body."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()
