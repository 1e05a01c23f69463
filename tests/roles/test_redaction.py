"""No output of the host shows a secret or the value of a reference."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
import structlog
from rolehost import redaction
from rolehost.cli.main import invoke
from rolehost.deployment.model import LogSettings
from rolehost.errors import Problem, StartError
from rolehost.failures import describe
from rolehost.observe import logs
from rolehost.redaction import HIDDEN, hide, masked
from rolehost.supervisor.plan import ProcessPlan
from rolehost.supervisor.report import StatusReport

from tests.host.installed import write_plugin

#: Settings that take any text, each with an invalid value.
TEXTS = """
[deployment]
pins = "@"
[storage]
database = "@"
cache = "@"
queue = "@"
stream = "@"
[http]
bind = "@"
[worker]
queues = ["@", "a-@"]
[fleet]
external = ["topic:@"]
[leaky]
choice = "@"
several = ["x", "@"]
"""

#: Settings that do not take any text.
TYPED = """
plugins = ["leaky"]
[deployment]
environment = "@"
roles = ["@"]
[http]
processes = "@"
[worker]
threads = "@"
[log]
level = "@"
[fleet]
external = ["@"]
[on_failure]
leaky = "@"
[leaky]
number = "@"
rule = "@"
"""

LEAKY = """
from rolehost.api import Actor, PluginInfo, Settings, SettingRefused, hookimpl


class Leaky(Settings, frozen=True, kw_only=True):
    choice: str = "a"
    several: tuple[str, ...] = ()
    number: int = 1
    rule: str = ""

    def __post_init__(self):
        if self.rule:
            raise ValueError(f"{self.rule} is against the rule")


def work(job):
    pass


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, settings=Leaky, requires=("database",))


@hookimpl
def rolehost_actors(context):
    if context.settings.choice != "a":
        raise SettingRefused(
            "choice", f"{context.settings.choice} is no choice", expected="a",
            got=context.settings.choice, fix=f"change {context.settings.choice}",
        )
    return [Actor(name="leaky.work", fn=work)]
"""

#: One that would be found anywhere, one with signs of TOML and JSON, one of two characters.
SECRETS = ("S3cr3t-314159265358", "q\"7\\n'x-ä", "z9")

COMMANDS = (
    ["check", "d.toml"],
    ["check", "--json", "d.toml"],
    ["settings", "d.toml"],
    ["why", "setting:http.bind", "d.toml"],
    ["doctor", "d.toml"],
    ["fleet", "check", "d.toml", "e.toml"],
    ["fleet", "manifest", "d.toml"],
    ["run", "d.toml"],
)


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_texts_by_owner", {})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    write_plugin(site, "leaky", LEAKY)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(here: Path, text: str, capsys: pytest.CaptureFixture[str], *commands: Any) -> str:
    (here / "d.toml").write_text(text)
    (here / "e.toml").write_text(text)
    for command in commands or COMMANDS:
        invoke(command)
    out, err = capsys.readouterr()
    return out + err


@pytest.mark.needs("rolehost_embedded")
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("reference", ["${file:secret}", "${GIVEN}", "x${GIVEN}y"])
@pytest.mark.parametrize("wrong", [TEXTS, TYPED], ids=["texts", "typed"])
def test_no_command_shows_the_value_of_a_reference(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secret: str,
    reference: str,
    wrong: str,
) -> None:
    monkeypatch.setenv("GIVEN", secret)
    (here / "secret").write_text(secret)
    named = wrong if wrong == TYPED else f'plugins = ["embedded", "leaky"]{wrong}'
    said = printed(here, named.replace("@", reference), capsys)
    assert "is no" in said or "does not take" in said
    assert secret not in said
    assert json.dumps(secret)[1:-1] not in said


@pytest.mark.needs("rolehost_embedded")
@pytest.mark.parametrize("reference", ["${file:secret}", "${GIVEN}"])
def test_an_address_that_cannot_be_had_is_not_shown(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reference: str,
) -> None:
    monkeypatch.setenv("GIVEN", "256.300.1.1:8000")
    (here / "secret").write_text("256.300.1.1:8000")
    # Without the last line, such an address is refused before it is listened on.
    text = f'plugins = ["embedded", "web"]\n[http]\nbind = "{reference}"\n'
    text += 'authentication = "none"\n'
    write_plugin(here / "site", "web", WEB)
    said = printed(here, text, capsys, ["run", "d.toml"], ["doctor", "d.toml"])
    assert f"cannot listen on {HIDDEN}" in said
    assert "256.300" not in said


WEB = """
from rolehost.api import PluginInfo, Route, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1)


class Resource:
    async def on_get(self, req, resp):
        resp.media = {}


@hookimpl
def rolehost_routes(context):
    return [Route("/x", Resource())]
"""


def test_settings_show_where_a_value_comes_from_and_not_the_value(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "8123")
    text = '[http]\nbind = "127.0.0.1:${PORT}"\nthreads = "${THREADS:-3}"\n'
    rows = json.loads(printed(here, text, capsys, ["settings", "--json", "d.toml"]))
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert found["http.bind"] == (HIDDEN, "d.toml:2")
    assert found["http.threads"] == (3, "d.toml:3")  # a default stands in the file


def test_a_name_from_a_variable_is_shown_and_one_from_a_file_is_not(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST", "api-7f9c")
    text = '[deployment]\nname = "${HOST}"\n'
    assert "api-7f9c" in printed(here, text, capsys, ["settings", "d.toml"])
    (here / "secret").write_text("S3cr3t-3141")
    text = '[deployment]\nname = "${file:secret}"\n[fleet]\nmachine = "${file:secret}"\n'
    said = printed(here, text, capsys)
    assert HIDDEN in said
    assert "S3cr3t" not in said


# --- the rule itself


def test_secret_values_are_replaced_in_errors_problems_and_logs() -> None:
    hide("a deployment", ["S3cr3t-31415"])
    error = StartError("no S3cr3t-31415 here")
    problem = Problem(
        code="x", who="w", where="w", what="S3cr3t-31415", expected="e", got="g", fix="f"
    )
    for text in (str(error), str(problem), json.dumps(problem.as_dict())):
        assert HIDDEN in text
        assert "S3cr3t" not in text


def test_failures_are_stored_without_secrets() -> None:
    hide("a deployment", ["S3cr3t-31415"])
    assert describe(ValueError("no S3cr3t-31415 here")) == f"ValueError: no {HIDDEN} here"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("hush", "hush, hushed, a-hush", "********, hushed, a-********"),
        ("pw", "pw", "pw"),  # too short to be reported from chance
        ("postgres", "backend=postgres", "backend=postgres"),  # replaces nothing
        ("postgres://postgres:postgres@h/x", "postgres: no such host", "postgres: no such host"),
        ("line\none", "line one", "********"),
        (
            "redis://u:p%40ss@h/0",
            "the password p%40ss or p@ss",
            "the password ******** or ********",
        ),
    ],
)
def test_secrets_are_replaced_as_words(secret: str, text: str, shown: str) -> None:
    hide("a deployment", [secret])
    assert masked(text) == shown


@pytest.mark.parametrize("text", ["production", "8000", "/var/lib/shop", "127.0.0.1", "us-east"])
def test_words_numbers_and_paths_of_variables_are_not_hidden_everywhere(text: str) -> None:
    hide("a deployment", [], [text])
    assert masked(f"in {text}") == f"in {text}"


def test_other_texts_of_variables_are_hidden_everywhere() -> None:
    hide("a deployment", [], ["tok3n-1"])
    assert masked("a tok3n-1") == f"a {HIDDEN}"


def test_a_new_report_takes_the_place_of_the_last_one() -> None:
    hide("a deployment", ["first-secret"])
    hide("a deployment", ["second-secret"])
    assert masked("first-secret second-secret") == f"first-secret {HIDDEN}"


# --- logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure(LogSettings(level="debug", format="json"), stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logs._writer = None


def test_no_line_of_the_log_shows_a_secret(written: io.StringIO) -> None:
    secret = 'S3cr3t "31415"'
    hide("a deployment", [secret])
    try:
        raise ValueError(f"a plugin said {secret}")
    except ValueError:
        structlog.get_logger().exception("it failed", field=secret)
    logging.getLogger("a.library").debug("sends %s", secret)
    logs.fast_logger("info", "request")({"path": f"/{secret}"})
    said = written.getvalue()
    assert said.count("\n") == 3
    assert said.count(HIDDEN) >= 4
    assert "S3cr3t" not in said
    assert all(json.loads(line) for line in said.splitlines())


def test_statements_are_written_without_their_values(written: io.StringIO, tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(str(tmp_path / "x.db"))
    database.execute_sql("CREATE TABLE endpoint (secret TEXT)")
    database.execute_sql("INSERT INTO endpoint VALUES (?)", ("S3cr3t",))
    database.close()
    assert "INSERT INTO endpoint VALUES (?)" in written.getvalue()
    assert "S3cr3t" not in written.getvalue()


@pytest.mark.needs("falcon", "dramatiq")
def test_a_missing_row_is_reported_without_the_requested_values() -> None:
    from rolehost_testing.kit import open_host

    from contrib.testing.tests.kit import shop

    with open_host([("shop", shop)]) as host:
        database = host.services.database
        with database.session(), pytest.raises(shop.Order.DoesNotExist) as caught:
            shop.Order.get(item=SECRETS[0])
    text = "".join(traceback.format_exception(caught.value))
    assert "instance matching query does not exist" in text
    assert SECRETS[0] not in text + repr(caught.value)


def test_messages_are_written_without_their_arguments(written: io.StringIO) -> None:
    dramatiq = pytest.importorskip("dramatiq")
    message = dramatiq.Message("q", "shop.send", ("S3cr3t",), {"token": "S3cr3t"}, {})
    for each in (message, dramatiq.MessageProxy(message)):
        logging.getLogger("dramatiq.worker").error("Failed to process %s in %.1f.", each, 1)
    said = written.getvalue()
    assert said.count(f"Failed to process shop.send {message.message_id} in 1.0.") == 2
    assert "S3cr3t" not in said


@pytest.mark.parametrize("library", logs.QUIET_LIBRARIES)
def test_clients_of_engines_write_only_warnings(written: io.StringIO, library: str) -> None:
    logging.getLogger(f"{library}.connection").debug("sends S3cr3t")
    logging.getLogger(f"{library}.connection").warning("hangs")
    assert [json.loads(line)["event"] for line in written.getvalue().splitlines()] == ["hangs"]


def test_the_supervisor_shows_no_address_that_a_reference_gave(
    capfd: pytest.CaptureFixture[str],
) -> None:
    plan = ProcessPlan(name="d", roles=(), bind="10.1.2.3:8000", hidden=("10.1.2.3:8000",))
    hide("the plan", ProcessPlan.from_json(plan.to_json()).hidden)
    StatusReport("d", "info", "json")("info", "cannot listen on 10.1.2.3:8000")
    assert "10.1.2.3" not in capfd.readouterr().err
