from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rolehost.cli.main import invoke
from rolehost_fleet.asyncapi import asyncapi
from rolehost_fleet.loading import load

from tests.proofs.fleet_check_case import ENVIRON, FOUR, Case
from tests.proofs.fleet_check_plugins import Paid, Placed, actor, handler, plugin
from tests.proofs.kit import FIXTURES, ROOT, in_ci

pytestmark = [
    pytest.mark.needs("rolehost_webhooks"),
    pytest.mark.needs("rolehost_kafka"),
    pytest.mark.needs("jsonschema"),
]

SCHEMA = FIXTURES / "asyncapi-specs-6.11.1" / "schemas" / "3.0.0.json"


def validate(document: dict[str, Any]) -> None:
    """Validate with the official schema; skips, but in CI, where it was not fetched."""
    import jsonschema

    if not SCHEMA.is_file() and not in_ci():
        pytest.skip("the schema is not here: run scripts/fixtures.sh (needs npm)")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(document)


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, Any]:
    """The four, and a shop whose orders a ledger takes, on Kafka with a prefix."""
    case = Case(
        name="",
        code="",
        whose=(),
        fix="",
        plugins={"worker": ["kafka", "shop"], "events": ["ledger"]},
        settings={"engines": {"kafka": {"prefix": "test."}}},
        extra=lambda: {
            "shop": plugin(
                actor("shop.pack", queue="packing"),
                publishes=("orders", "audit/trail"),
                payloads={"orders": Placed},
            ),
            "ledger": plugin(handler("ledger.book", "orders", "ledger", payload=Paid, batch=50)),
        },
    )
    return asyncapi(load(case.write(tmp_path), environ=ENVIRON, extra=case.extra()))


def test_a_fleet_s_document_is_valid(shop: dict[str, Any]) -> None:
    validate(shop)


@pytest.mark.parametrize("name", ["embedded", *FOUR])
def test_the_document_of_each_of_our_deployments_is_valid(name: str) -> None:
    validate(asyncapi(load([ROOT / "deploy" / f"{name}.toml"], environ=ENVIRON)))


def test_a_channel_has_its_name_in_kafka(shop: dict[str, Any]) -> None:
    channel = shop["channels"]["orders"]

    assert channel["address"] == "test.orders"
    assert channel["bindings"]["kafka"]["topic"] == "test.orders"
    assert set(shop["channels"]) == {"orders", "audit_trail", "webhooks"}


def test_who_sends_and_who_receives_are_operations(shop: dict[str, Any]) -> None:
    operations = shop["operations"]

    assert operations["worker.send.orders.shop"]["action"] == "send"
    received = operations["events.receive.orders.ledger.book"]
    assert received["action"] == "receive"
    assert received["bindings"]["kafka"]["groupId"]["enum"] == ["test.ledger"]
    assert "up to 50 at once" in received["summary"]


def test_payloads_are_schemas_of_their_types(shop: dict[str, Any]) -> None:
    message = shop["components"]["messages"]["orders.Placed"]

    assert message["payload"] == {"$ref": "#/components/schemas/Placed"}
    schema = shop["components"]["schemas"]["Placed"]
    assert schema["required"] == ["id", "cents"]
    assert "payload" not in shop["components"]["messages"]["audit_trail.Event"]


def test_headers_are_those_of_cloudevents(shop: dict[str, Any]) -> None:
    headers = shop["components"]["messages"]["orders.Placed"]["headers"]

    assert headers["properties"]["ce_specversion"]["const"] == "1.0"
    assert {"ce_id", "ce_source", "ce_type"} <= set(headers["required"])


def test_a_topic_in_structured_mode_has_whole_events(tmp_path: Path) -> None:
    case = Case(
        name="",
        code="",
        whose=(),
        fix="",
        plugins={"worker": ["kafka", "shop"]},
        settings={"engines": {"delivery.content_modes": {"orders": "structured"}}},
        extra=lambda: {"shop": plugin(publishes=("orders",), payloads={"orders": Placed})},
    )
    document = asyncapi(load(case.write(tmp_path), environ=ENVIRON, extra=case.extra()))
    validate(document)
    message = document["components"]["messages"]["orders.Placed"]
    assert message["contentType"] == "application/cloudevents+json"
    data = message["payload"]["properties"]["data"]
    assert data == {"$ref": "#/components/schemas/Placed"}


def test_without_kafka_there_are_no_bindings() -> None:
    document = asyncapi(load([ROOT / "deploy" / "embedded.toml"], environ=ENVIRON))

    assert "bindings" not in json.dumps(document)


def test_the_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(ROOT / "deploy" / f"{name}.toml") for name in FOUR]

    assert invoke(["asyncapi", *paths]) == 0
    wide = capsys.readouterr().out
    assert invoke(["asyncapi", "--compact", *paths]) == 0
    compact = capsys.readouterr().out
    assert json.loads(wide) == json.loads(compact)
    assert compact.count("\n") == 1
    assert json.loads(compact)["info"]["title"] == "webhooks"
