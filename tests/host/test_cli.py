"""The command line, in separate processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from rolehost.cli import exits
from rolehost.discovery.commands import HOST

from tests.check.casefile import ISOLATED
from tests.host.installed import write_plugin

#: Modules that a command may import only if a role or a plugin needs them.
HEAVY = ("dramatiq", "falcon", "gunicorn", "kafka", "peewee", "psycopg2", "redis", "rich")

APPLICATION = """
from pathlib import Path

from rolehost.api import PLUGIN_API, Backend, Check, Command, Metric, PluginInfo, Route, Schedule
from rolehost.api import Secret, Settings, actor, handler, hookimpl


class Shop(Settings, frozen=True):
    key: Secret
    currency: str = "EUR"


class Orders:
    async def on_get(self, req, resp):
        resp.media = []


@actor(queue="mail")
def send(job, to):
    return None


@handler(topic="orders", group="billing")
def bill(context, event):
    return None


@hookimpl
def rolehost_plugin():
    return PluginInfo(
        api=PLUGIN_API,
        settings=Shop,
        summary="A shop",
        enqueues=("send",),
        publishes=("orders",),
        metrics=(Metric(name="shop_sold", kind="counter", summary="Sold.", labels=("kind",)),),
    )


@hookimpl
def rolehost_backends():
    return [
        Backend(kind=kind, name="memory", factory=object, capabilities=frozenset(able))
        for kind, able in {"database": (), "queue": (), "stream": ("consumer-groups",)}.items()
    ]


@hookimpl
def rolehost_routes():
    return [Route("/orders", Orders())]


@hookimpl
def rolehost_actors():
    return [send]


@hookimpl
def rolehost_handlers():
    return [bill]


@hookimpl
def rolehost_schedules():
    return [Schedule(name="daily", actor=send, arguments={"to": "all"}, every=86400.0)]


@hookimpl
def rolehost_commands():
    return [Command(name="shop", target="shop_command:shop", summary="Look into the shop")]
"""

COMMAND = """
import click


@click.command()
@click.argument("word")
@click.pass_obj
def shop(context, word):
    click.echo(f"{word} {context.composition.plugin('shop').settings.currency}")
"""


@dataclass(frozen=True, slots=True)
class Output:
    """The exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Shell:
    """Runs ``rolehost`` in a folder, with the plugins that are installed there and no other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, **environ: str) -> Output:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ROLEHOST")}
        done = subprocess.run(
            [sys.executable, str(ISOLATED), *arguments],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": str(self.folder), "NO_COLOR": "1"} | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Output(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A folder without a deployment or plugins."""
    return Shell(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Shell:
    """A folder with a deployment that enables the plugin ``shop``, and a broken one beside it."""
    write_plugin(tmp_path, "shop", APPLICATION)
    spare = APPLICATION.replace("/orders", "/spare").replace("shop_sold", "spare_sold")
    write_plugin(tmp_path, "spare", spare)
    write_plugin(tmp_path, "broken", "raise RuntimeError('gone')")
    (tmp_path / "shop_command.py").write_text(COMMAND)
    (tmp_path / "key").write_text("hunter2")
    (tmp_path / "rolehost.toml").write_text(
        'plugins = [\n    "shop",\n]\n\n[shop]\nkey = "${file:key}"\n'
    )
    return Shell(tmp_path)


def test_a_host_without_plugins_reports_what_is_missing(bare: Shell):
    result = bare("run")
    assert result.status == exits.NOTHING_TO_RUN
    assert "No plugin is enabled" in result.err
    assert "rolehost[standard]" in result.err


def test_a_host_without_plugins_can_be_checked_and_listed(bare: Shell):
    assert bare("check").status == exits.OK
    listed = bare("plugins")
    assert (listed.status, listed.out) == (
        exits.OK,
        "no plugin is installed: pip install 'rolehost[standard]'\n",
    )
    assert bare("routes", "--json").json == []


def test_help_lists_every_command_and_exit_status(shop: Shell):
    result = shop("--help")
    assert result.status == exits.OK
    assert all(f"  {name} " in result.out for name in HOST)
    assert all(f"  {code} " in result.out for code in exits.MEANINGS)


def test_help_imports_no_plugin_and_names_the_list_of_their_commands(shop: Shell):
    (shop.folder / "shop.py").write_text("raise RuntimeError('imported')")
    result = shop("--help")
    assert (result.status, "rolehost commands" in result.out) == (exits.OK, True)


def test_the_commands_of_plugins_are_listed(shop: Shell):
    (command,) = shop("commands", "--json").json
    assert command == {"name": "shop", "summary": "Look into the shop", "plugin": "shop"}


def test_check_prints_ok_for_each_correct_deployment_and_the_errors_of_the_others(shop: Shell):
    (shop.folder / "bad.toml").write_text("[http]\nthreads = 0\n")
    result = shop("check", "rolehost.toml", "bad.toml")
    assert result.status == exits.CONFIGURATION
    assert "rolehost.toml: ok: 1 plugin, roles: http, scheduler, consumer, worker" in result.out
    assert "bad.toml: 1 error" in result.out
    first, second = shop("check", "rolehost.toml", "bad.toml", "--json").json
    assert (first["ok"], second["ok"]) == (True, False)
    assert second["problems"][0]["where"] == "bad.toml:2, http.threads"


def test_plugins_are_listed_as_enabled_and_disabled_without_importing_these(shop: Shell):
    rows = {row["name"]: row for row in shop("plugins", "--json").json}
    assert {name: row["state"] for name, row in rows.items()} == {
        "broken": "disabled",
        "shop": "enabled",
        "spare": "disabled",
    }
    assert rows["shop"]["why"] == "enabled at rolehost.toml:2"


def test_a_broken_plugin_is_reported_if_it_is_probed_or_enabled(shop: Shell):
    for arguments in (["--probe"], ["--plugins", "shop,broken"]):
        rows = {row["name"]: row for row in shop("plugins", "--json", *arguments).json}
        assert rows["broken"]["state"] == "broken"
        assert "RuntimeError: gone" in rows["broken"]["why"]
        assert rows["shop"]["state"] == "enabled"


def test_listings_show_the_plugin_of_each_contribution(shop: Shell):
    (route,) = shop("routes", "--json").json
    assert (route["path"], route["methods"], route["plugin"]) == ("/orders", ["GET"], "shop")
    (actor,) = shop("actors", "--json").json
    assert (actor["name"], actor["queue"], actor["enqueued_by"]) == ("send", "mail", ["shop"])
    (handler,) = shop("handlers", "--json").json
    assert (handler["topic"], handler["published_by"]) == ("orders", ["shop"])


@pytest.mark.needs("rolehost_control")
def test_the_listing_of_schedules_shows_what_they_enqueue(shop: Shell):
    (schedule,) = shop("schedules", "--declared", "--json").json
    assert (schedule["when"], schedule["actor"]) == ("every 86400 s", "send")


def test_settings_have_origins_and_hide_secrets(shop: Shell):
    result = shop("settings", "--json", ROLEHOST__HTTP__THREADS="3")
    rows = {row["key"]: row for row in result.json}
    assert list(rows) == sorted(rows)
    assert rows["shop.key"] == {
        "key": "shop.key",
        "value": "********",
        "origin": "rolehost.toml:6",
    }
    assert rows["http.threads"]["origin"] == "environment ROLEHOST__HTTP__THREADS"
    assert rows["shop.currency"]["origin"] == "default"
    assert "hunter2" not in result.out


@pytest.mark.needs("rolehost_fleet")
@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("route:/orders", ["shop-plugin 1.0", "rolehost.toml:2", "GET"]),
        ("actor:send", ["enqueued by", "schedule daily", "worker role"]),
        ("handler:bill", ["orders", "billing", "published by"]),
        ("schedule:daily", ["every 86400 s", "send"]),
        ("backend:memory", ["the only one offered"]),
        ("plugin:shop", ["contributes:", "route /orders", "metric shop_sold", "A shop"]),
        ("setting:shop.currency", ["EUR", "default"]),
        ("setting:shop.key", ["********", "rolehost.toml:6"]),
        ("topic:orders", ["published by", "consumed by"]),
        ("role:worker", ["actors of plugin shop"]),
        ("command:shop", ["shop_command:shop"]),
        ("metric:shop_sold_total", ["shop-plugin 1.0", "counter", "kind", "Sold."]),
    ],
)
def test_why_names_the_plugin_of_an_active_name(shop: Shell, subject: str, words: list[str]):
    result = shop("why", subject)
    assert result.status == exits.OK, result
    assert all(word in result.out for word in words), result.out


@pytest.mark.needs("rolehost_fleet")
@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("plugin:spare", ["not in plugins", 'add "spare" to plugins in rolehost.toml']),
        ("plugin:sahre", ["not installed", 'did you mean "spare"?']),
        ("route:/spare", ["spare-plugin 1.0", 'add "spare" to plugins']),
        ("metric:spare_sold_total", ["spare-plugin 1.0", 'add "spare" to plugins']),
        ("metric:shop_slod", ["no installed plugin has it", 'did you mean "shop_sold"?']),
        ("actor:sned", ["no installed plugin has it", 'did you mean "send"?']),
    ],
)
def test_why_shows_how_to_enable_an_inactive_name(shop: Shell, subject: str, words: list[str]):
    (shop.folder / "rolehost.toml").write_text(
        'plugins = [\n    "shop",\n]\n\n[shop]\nkey = "k"\n\n[spare]\nkey = "k"\n'
    )
    result = shop("why", subject)
    assert result.status == exits.FAILED, result
    assert all(word in result.out for word in words), result.out


@pytest.mark.needs("rolehost_fleet")
def test_a_plugin_whose_metrics_are_none_is_broken_and_blocks_no_command(shop: Shell):
    wrong = APPLICATION.replace("/orders", "/wrong").replace("metrics=(Metric(", "metrics=(dict(")
    write_plugin(shop.folder, "wrong", wrong)
    file = shop.folder / "rolehost.toml"
    file.write_text(file.read_text() + '\n[wrong]\nkey = "k"\n')
    told = shop("why", "metric:unknown")
    assert told.status == exits.FAILED, told
    assert "no installed plugin has it" in told.out
    rows = {row["name"]: row for row in shop("plugins", "--json", "--probe").json}
    assert rows["wrong"]["state"] == "broken"
    assert "PluginInfo.metrics is not a tuple of Metric" in rows["wrong"]["why"]


@pytest.mark.needs("rolehost_fleet")
def test_why_lists_its_kinds_for_an_unknown_kind(shop: Shell):
    result = shop("why", "rout:/orders")
    assert result.status == exits.USAGE
    assert 'did you mean "route"?' in result.err


def test_a_plugins_command_runs_with_its_deployment(shop: Shell):
    assert shop("shop", "costs").out == "costs EUR\n"
    assert shop("shop", "costs", ROLEHOST__SHOP__CURRENCY="ISK").out == "costs ISK\n"


def test_the_deployment_comes_from_the_option_the_environment_or_the_usual_files(shop: Shell):
    (shop.folder / "rolehost.toml").rename(shop.folder / "other.toml")
    assert shop("shop", "x").status == exits.USAGE
    assert shop("-d", "other.toml", "shop", "x").out == "x EUR\n"
    assert shop("shop", "x", ROLEHOST_DEPLOYMENT="other.toml").out == "x EUR\n"
    (shop.folder / "deploy").mkdir()
    text = (shop.folder / "other.toml").read_text().replace("file:key", "file:../key")
    (shop.folder / "deploy" / "embedded.toml").write_text(text)
    assert shop("shop", "x").out == "x EUR\n"
    assert len(shop("routes", "other.toml", "--json").json) == 1
    assert len(shop("routes", "-d", "other.toml", "--json").json) == 1


def test_a_misspelt_command_is_answered_with_the_nearest(shop: Shell):
    result = shop("chekc")
    assert result.status == exits.USAGE
    assert 'did you mean "check"?' in result.err


def test_a_command_of_a_deployment_with_errors_reports_the_errors(shop: Shell):
    result = shop("shop", "x", ROLEHOST__HTTP__THREADS="none")
    assert result.status == exits.CONFIGURATION
    assert "http.threads" in result.err


def test_a_role_that_the_deployment_has_not_is_wrong_usage(bare: Shell):
    result = bare("run", "--role", "worker")
    assert result.status == exits.USAGE
    assert "has no role worker" in result.err


@pytest.mark.parametrize(
    ("error", "command", "status"),
    [
        ("StorageRefused", ["run"], exits.CONFIGURATION),
        ("StorageRefused", ["migrate", "up"], exits.CONFIGURATION),
        ("StorageUnavailable", ["migrate", "up"], exits.CANNOT_START),
        pytest.param(
            "StorageBusy",
            ["jobs", "list"],
            exits.CANNOT_START,
            marks=pytest.mark.needs("rolehost_control"),
        ),
    ],
)
def test_unavailable_storage_is_reported_in_one_line(
    bare: Shell, error: str, command: list[str], status: int
):
    write_plugin(bare.folder, "shop", APPLICATION.replace("factory=object", "factory=gone"))
    source = (bare.folder / "shop.py").read_text()
    gone = f"from rolehost.api import {error}\n\n\ndef gone():\n    raise {error}('no, no')\n"
    (bare.folder / "shop.py").write_text(source.replace("class Shop", f"{gone}\n\nclass Shop"))
    result = bare("--plugins", "shop", *command, ROLEHOST__SHOP__KEY="k")
    assert (result.status, result.err) == (status, "rolehost: no, no\n")


@pytest.mark.parametrize("command", [["check"], ["--help"], ["routes", "--json"]])
def test_commands_import_no_framework_driver_or_client(shop: Shell, command: list[str]):
    footprint = shop.folder / "footprint.py"
    footprint.write_text(
        "import sys\nfrom rolehost.cli.main import invoke\n"
        "invoke(sys.argv[1:])\nprint(' '.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, str(footprint), "-d", "rolehost.toml", *command],
        cwd=shop.folder,
        env=os.environ | {"PYTHONPATH": str(shop.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert "rolehost" in imported
    assert imported.isdisjoint(HEAVY)


def test_an_unreadable_deployment_is_reported_after_the_list_of_plugins(shop: Shell):
    result = shop("plugins", "nowhere.toml", "--json")
    assert result.status == exits.CONFIGURATION
    assert {row["state"] for row in result.json} == {"disabled"}
    assert "unreadable-file" in result.err
