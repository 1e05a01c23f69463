"""What a composition is, as plain data."""

from __future__ import annotations

import msgspec
import pytest
from rolehost.api import actor, handler
from rolehost.composition import compose
from rolehost.composition.manifest import decode, describe, encode
from rolehost.deployment import load
from rolehost_fleet.saved import decode_all, encode_all

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
]


class Order(msgspec.Struct):
    """Ordered."""

    number: int


@actor(name="greet", queue="fast")
def greet(job, name: str, times: int = 1) -> None: ...


@handler(topic="orders", group="mail", payload=Order)
def mail(context, event) -> None: ...


def test_it_names_actors_with_their_signatures_and_handlers_with_their_payloads(fleet):
    manifest = fleet.describe(actors=[greet], handlers=[mail], enqueues=("greet",))
    (entry,) = manifest.actors
    assert (entry.name, entry.queue, entry.types) == (
        "greet",
        "fast",
        (("name", "str"), ("times", "int")),
    )
    (read,) = manifest.handlers
    assert read.payload == {
        "$ref": "#/$defs/Order",
        "$defs": {
            "Order": {
                "type": "object",
                "properties": {"number": {"type": "integer"}},
                "required": ["number"],
            }
        },
    }
    assert manifest.enqueues == {"greet"}
    assert manifest.roles == ("consumer", "worker")
    assert ("rolehost", 2, "presence", "pre") in [
        msgspec.structs.astuple(each) for each in manifest.migrations
    ]


def test_it_survives_being_written_down(fleet):
    manifest = fleet.describe(actors=[greet], handlers=[mail])
    assert decode(encode(manifest)) == manifest
    assert decode_all(encode_all([manifest])) == (manifest,)
    assert decode(encode(manifest)).hash == manifest.hash


def test_one_of_another_layout_is_refused(fleet):
    other = msgspec.structs.replace(fleet.describe(), format=99)
    with pytest.raises(ValueError, match="layout 99"):
        decode(encode(other))
    with pytest.raises(ValueError, match="not a file of manifests"):
        decode_all("{}")


@pytest.mark.needs("rolehost_webhooks")
def test_processes_of_all_roles_have_the_same_core(tmp_path):
    path = tmp_path / "app.toml"
    path.write_text('plugins = ["embedded", "ops", "webhooks-delivery", "webhooks-api"]')
    deployment = load(path, environ={})
    whole = describe(compose(deployment))
    roles = {role: describe(compose(deployment, role=role)) for role in whole.roles}
    assert {manifest.shared_hash for manifest in roles.values()} == {whole.shared_hash}
    assert {role for role, manifest in roles.items() if manifest.routes} == {"http"}


def test_the_folder_of_a_deployment_does_not_matter(fleet, tmp_path):
    here = fleet.describe("app").shared_hash
    (tmp_path / "elsewhere").mkdir()
    fleet.folder = tmp_path / "elsewhere"
    assert fleet.describe("app").shared_hash == here


def test_another_setting_is_another_config(fleet):
    one, other = fleet.describe("app"), fleet.describe("app", "[worker]\nthreads = 3")
    assert one.config != other.config
    changed = {key for key in one.settings if one.settings[key] != other.settings[key]}
    assert changed == {"worker.threads"}


@pytest.mark.needs("rolehost_redis")
def test_a_secret_leaves_no_trace(tmp_path):
    def made(password):
        path = tmp_path / "app.toml"
        path.write_text(
            'plugins = ["embedded", "redis"]\n[redis]\n'
            f'url = "redis://:{password}@127.0.0.1:1/0"\n[storage]\ncache = "redis"\n'
            'queue = "embedded"'
        )
        return describe(compose(load(path, environ={})))

    one, other = made("hunter2"), made("swordfish")
    assert one.settings["redis.url"] == ""
    assert one == other
    assert b"hunter2" not in encode(one)
