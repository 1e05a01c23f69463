"""Tables and the statements on them, on a plain SQLite database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

import peewee
import pytest
from rolehost_webhooks import ids
from rolehost_webhooks.models import (
    MODELS,
    Application,
    Attempt,
    Delivery,
    Message,
    Status,
)
from rolehost_webhooks.repositories import deliveries, messages
from rolehost_webhooks.repositories.cached import Target

NOW = 1_800_000_000_000
DAY = 86_400_000


def script(dialect: str) -> tuple[str, str]:
    """Return the statements up, and down, of all migrations."""
    files = resources.files("rolehost_webhooks.migrations").iterdir()
    found = sorted(
        (file for file in files if file.name.endswith(f".{dialect}.sql")), key=lambda it: it.name
    )
    up = down = ""
    for file in found:
        first, second = file.read_text().split("-- up\n")[1].split("-- down\n")
        up, down = up + first, second + down
    return up, down


@pytest.fixture(autouse=True)
def database() -> Iterator[peewee.Database]:
    database = peewee.SqliteDatabase(":memory:")
    database.connect()
    database.connection().executescript(script("sqlite")[0])
    with database.bind_ctx(MODELS):
        yield database
    database.close()


def message(app: str = "app_1", **given: object) -> Message:
    created = int(given.get("created_at", NOW))  # type: ignore[call-overload]
    values = {
        "id": ids.first_at("msg_", created),
        "app_id": app,
        "event_type": "a",
        "superseded": 0,
        "created_at": created,
        "payload": b"{}",
        **given,
    }
    return Message(**values)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_has_exactly_the_columns_of_its_table(
    database: peewee.Database, model: type[peewee.Model]
) -> None:
    columns = {column.name for column in database.get_columns(model._meta.table_name)}
    assert columns == set(model._meta.columns)


def test_both_dialects_make_the_same_tables_and_indices() -> None:
    def shape(dialect: str) -> list[str]:
        text = script(dialect)[0].replace("BOOLEAN", "SMALLINT")  # SQLite has no booleans
        return re.findall(r"^(?:ALTER|CREATE|DROP) .*?(?: \(|;)|^    [a-z_\"]+", text, re.M)

    assert shape("sqlite") == shape("postgresql")


def test_down_leaves_nothing(database: peewee.Database) -> None:
    database.connection().executescript(script("sqlite")[1])
    assert database.get_tables() == []


def test_an_event_id_is_refused_while_it_is_held() -> None:
    assert messages.insert(message(event_id="e"))
    assert not messages.insert(message(event_id="e", id="msg_2"))
    assert messages.insert(message("app_2", event_id="e", id="msg_3"))
    assert messages.insert(message(event_id=None, id="msg_4"))
    assert messages.insert(message(event_id=None, id="msg_5"))


def test_an_event_id_that_was_freed_means_the_later_message() -> None:
    messages.insert(message(event_id="e"))
    assert not messages.supersede("app_1", "e", NOW)
    assert messages.supersede("app_1", "e", NOW + 1)
    assert messages.insert(message(event_id="e", id="msg_2", created_at=NOW + 5))
    found = messages.find("app_1", "e")
    assert found is not None and found.id == "msg_2"


def test_retention_removes_old_messages_with_what_belongs_to_them() -> None:
    old, new = message(created_at=NOW - 10 * DAY), message()
    for one in (old, new):
        messages.insert(one)
        deliveries.insert_pending(one.id, ["ep_1"], NOW)
    assert messages.remove_old(NOW - 5 * DAY, 100) == 1
    assert [row.id for row in Message.select()] == [new.id]
    assert [row.message_id for row in Delivery.select()] == [new.id]
    assert Attempt.select().count() == 0


def test_retention_takes_a_bounded_batch_and_orphans_of_deleted_applications() -> None:
    Application.create(
        id="app_gone", name="x", metadata={}, created_at=1, updated_at=1, deleted_at=2
    )
    for number in range(3):
        messages.insert(message("app_gone", id=f"msg_9{number}"))
        messages.insert(message(created_at=NOW - DAY * 10 + number * 10))
    assert messages.remove_old(NOW - 5 * DAY, 4) == 4
    assert messages.remove_old(NOW - 5 * DAY, 4) == 2
    assert messages.remove_old(NOW - 5 * DAY, 4) == 0


def test_payloads_expire_before_their_messages() -> None:
    messages.insert(message(payload_expires_at=NOW))
    messages.insert(message(id="msg_2", payload_expires_at=NOW + 1))
    assert messages.expunge_expired(NOW, 10) == 1
    assert {row.id: row.payload for row in Message.select()}["msg_2"] == b"{}"
    assert messages.expunge_expired(NOW, 10) == 0


def test_a_delivery_begun_anew_keeps_its_count() -> None:
    deliveries.insert_pending("msg_1", ["ep_1"], NOW)
    deliveries.record_attempt("msg_1", "ep_1", Status.FAIL, None, NOW)
    assert deliveries.oldest_due() is None
    deliveries.insert_pending("msg_1", ["ep_1"], NOW + 5)
    row = Delivery.get()
    assert (row.status, row.attempts, row.next_attempt) == (Status.PENDING, 1, NOW + 5)
    assert deliveries.oldest_due() == NOW + 5


def test_old_secrets_sign_until_they_expire() -> None:
    old = [{"key": "old", "expiresAt": NOW}, {"key": "older", "expiresAt": NOW - 1}]
    target = Target("app_1", "http://x/", {}, False, False, "new", old)
    assert target.signing_secrets(NOW - 1) == ["new", "old"]
    assert target.signing_secrets(NOW) == ["new"]


def test_a_message_may_go_to_thousands_of_endpoints() -> None:
    deliveries.insert_pending("msg_1", [f"ep_{number}" for number in range(6000)], NOW)
    assert Delivery.select().count() == 6000
