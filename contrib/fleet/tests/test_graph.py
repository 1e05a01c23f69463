from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rolehost.api import Schedule
from rolehost.cli.main import invoke
from rolehost_fleet.graph import MAX_LINES, Graph, graph, mermaid, truncate
from rolehost_fleet.loading import load

from tests.proofs.fleet_check_case import ENVIRON
from tests.proofs.fleet_check_plugins import actor, handler, plugin
from tests.proofs.kit import ROOT

pytestmark = pytest.mark.needs("rolehost_embedded")

FOUR = [ROOT / "deploy" / f"{name}.toml" for name in ("api", "worker", "events", "scheduler")]
#: Pages that show the fleet of ``deploy/``, in a block between these two comments.
PAGES = (ROOT / "docs" / "fleet.md",)
BEGIN, END = "<!-- fleet -->\n```mermaid\n", "```\n<!-- end of fleet -->\n"


@pytest.fixture
def shop(tmp_path: Path) -> Graph:
    """A shop whose workers publish what its consumers read, and enqueue jobs of others."""
    path = tmp_path / "shop.toml"
    path.write_text(
        'plugins = ["embedded", "shop"]\n[worker]\nprocesses = 3\n'
        '[fleet]\nexternal = ["topic:refunds"]\n',
        encoding="utf-8",
    )
    made = plugin(
        actor("pack", queue="packing"),
        handler("book", "orders", "ledger"),
        Schedule(name="nightly", actor="pack", cron="0 3 * * *"),
        enqueues=("pack", 'mail <&> "send"'),
        publishes=("orders", "refunds"),
    )
    return graph(load([path], environ={}, extra={"shop": made}))


def test_every_role_queue_and_topic_is_a_node(shop: Graph) -> None:
    assert {(node.kind, node.title) for node in shop.nodes} == {
        ("processes", "shop · scheduler"),
        ("processes", "shop · consumer"),
        ("processes", "shop · worker"),
        ("queue", "queue packing"),
        ("topic", "topic orders"),
        ("topic", "topic refunds"),
        ("outside", "other workers"),
        ("outside", "other readers"),
    }


def test_jobs_and_events_are_edges_with_the_names_of_what_goes_there(shop: Graph) -> None:
    edges = {(edge.source, edge.target): (edge.kind, edge.names) for edge in shop.edges}

    assert edges["shop/scheduler", "queue packing"] == ("job", ("pack",))
    assert edges["queue packing", "shop/worker"] == ("job", ("pack",))
    assert edges["shop/worker", "queue packing"] == ("job", ("pack",))
    assert edges["topic orders", "shop/consumer"] == ("event", ("ledger",))
    assert edges["topic refunds", "outside readers"] == ("event", ())


def test_a_role_tells_how_many_processes_run_it(shop: Graph) -> None:
    lines = {node.id: node.lines for node in shop.nodes}

    assert lines["shop/worker"] == ("1 instance × 3 processes", "shop")
    assert lines["shop/scheduler"] == ("1 instance × 1 process", "nightly: 0 3 * * *")


def test_a_flowchart_quotes_what_it_must(shop: Graph) -> None:
    text = mermaid(shop)

    assert text.startswith("flowchart LR\n")
    assert "mail <&amp;> &quot;send&quot;" in text


def test_the_same_fleet_gives_the_same_flowchart(shop: Graph) -> None:
    assert mermaid(shop) == mermaid(shop)


def test_a_long_list_is_cut_and_what_is_left_out_is_counted() -> None:
    assert truncate(["a", "b"]) == ("a", "b")
    assert truncate([str(number) for number in range(20)])[-1] == "and 13 more"
    assert len(truncate([str(number) for number in range(20)])) == MAX_LINES


@pytest.mark.needs("rolehost_webhooks")
@pytest.mark.needs("rolehost_kafka")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_flowchart_in_the_documents_is_that_of_our_deployments(page: Path) -> None:
    drawn = mermaid(graph(load(FOUR, environ=ENVIRON)))
    head, begin, rest = page.read_text("utf-8").partition(BEGIN)
    shown, end, tail = rest.partition(END)
    assert begin and end
    if os.environ.get("ROLEHOST_GOLDEN") == "write":
        page.write_text(f"{head}{begin}{drawn}{end}{tail}", encoding="utf-8")
    else:
        assert shown == drawn


@pytest.mark.needs("rolehost_webhooks")
@pytest.mark.needs("rolehost_kafka")
def test_the_output_s_name_decides_the_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fleet", "graph", *map(str, FOUR)]

    assert invoke([*arguments, "--output", str(tmp_path / "it.mmd")]) == 0
    assert (tmp_path / "it.mmd").read_text("utf-8").startswith("flowchart LR\n")
    assert invoke([*arguments, "--output", str(tmp_path / "it.json")]) == 0
    assert json.loads((tmp_path / "it.json").read_text("utf-8"))["name"] == "webhooks"
    assert invoke(arguments) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")
    assert invoke([*arguments, "--output", str(tmp_path / "no" / "it.mmd")]) == 4


@pytest.mark.needs("rolehost_webhooks")
@pytest.mark.needs("rolehost_kafka")
def test_one_of_several_fleets_in_a_folder_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(ROOT / "deploy")

    assert invoke(["fleet", "graph", folder]) == 4
    assert "these are 2 fleets" in capsys.readouterr().err
    assert invoke(["fleet", "graph", folder, "--fleet", "embedded", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "embedded"
