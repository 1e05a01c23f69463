"""What stands in ``deploy/`` and in the image can be run as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rolehost.composition import compose, examine
from rolehost.deployment import load

from tests.proofs.kit import ROOT

#: Files that others include, and that run nothing themselves.
PARTS = {"base", "engines"}
DEPLOYMENTS = [
    *(path for path in sorted((ROOT / "deploy").glob("*.toml")) if path.stem not in PARTS),
    *sorted((ROOT / "deploy/k8s").glob("*/deployment.toml")),
]
FLEET = ("api", "worker", "events", "scheduler")
#: Plugins that offer storage and nothing else.
STORAGE = {"embedded", "postgres", "redis", "memcached", "kafka"}

#: What a fleet may run on → what its environment says for it.
SWAPS = {
    "as it is written": {},
    "no Redis": {"QUEUE": "postgres", "CACHE": "memcached"},
    "jobs wake through PostgreSQL": {"QUEUE": "postgres"},
    "memcached instead of Redis": {"CACHE": "memcached"},
}
PODS = sorted((ROOT / "deploy/k8s").glob("*/deployment.toml"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT / "deploy"))


def workload(folder: Path) -> str:
    names = ("deployment.yaml", "statefulset.yaml")
    (manifest,) = (folder / name for name in names if (folder / name).exists())
    return manifest.read_text("utf-8")


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=relative)
def test_a_deployment_composes(path: Path) -> None:
    assert compose(load(path, environ={})).roles


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=relative)
def test_a_deployment_with_named_roles_is_exactly_these(path: Path) -> None:
    composition = compose(load(path, environ={}))
    claimed = composition.deployment.host.deployment.roles
    assert claimed is None or set(claimed) == set(composition.roles)


def test_the_split_deployments_together_are_what_the_embedded_one_is() -> None:
    together = {
        plugin
        for name in FLEET
        for plugin in load(ROOT / f"deploy/{name}.toml", environ={}).plugins
    }
    alone = set(load(ROOT / "deploy/embedded.toml", environ={}).plugins)
    assert together - STORAGE == alone - STORAGE


@pytest.mark.parametrize("name", FLEET)
@pytest.mark.parametrize("swap", SWAPS)
def test_a_backend_is_swapped_by_one_value(name: str, swap: str) -> None:
    environ = {f"ROLEHOST__STORAGE__{kind}": backend for kind, backend in SWAPS[swap].items()}
    composition = compose(load(ROOT / f"deploy/{name}.toml", environ=environ))
    chosen = {kind: owned.value.name for kind, owned in composition.backends.items()}
    expected = {"database": "postgres", "queue": "redis", "cache": "redis", "stream": "kafka"}
    expected |= {kind.lower(): backend for kind, backend in SWAPS[swap].items()}
    if name != "events":  # no other deployment has to do with a stream
        del expected["stream"]
    assert chosen == expected


def test_the_embedded_stream_is_refused_beside_another_database() -> None:
    environ = {
        "ROLEHOST__PLUGINS": "embedded,postgres,redis,ops,webhooks-ingest",
        "ROLEHOST__STORAGE__STREAM": "embedded",
    }
    composition, problems = examine(load(ROOT / "deploy/events.toml", environ=environ))
    assert composition is None
    assert [problem.code for problem in problems] == ["backend-apart"]
    embedded = {f"ROLEHOST__STORAGE__{kind}": "embedded" for kind in ("DATABASE", "CACHE")}
    assert compose(load(ROOT / "deploy/events.toml", environ=environ | embedded)).roles


def test_a_line_of_the_engines_file_swaps_a_backend_of_every_deployment(tmp_path: Path) -> None:
    for path in (ROOT / "deploy").glob("*.toml"):
        text = path.read_text("utf-8").replace('queue = "redis"', 'queue = "postgres"')
        (tmp_path / path.name).write_text(text, "utf-8")
    for name in FLEET:
        composition = compose(load(tmp_path / f"{name}.toml", environ={}))
        assert composition.backends["queue"].value.name == "postgres"


def test_where_the_engines_are_comes_from_the_environment_and_is_not_shown() -> None:
    environ = {
        "ROLEHOST_POSTGRES_URL": "postgresql://rolehost:hush@db.internal/rolehost",
        "ROLEHOST_REDIS_URL": "rediss://:hush@redis.internal:6379/0",
        "ROLEHOST_MEMCACHED_SERVERS": "m1.internal:11211,m2.internal:11211",
        "ROLEHOST_KAFKA_SERVERS": "k1.internal:9092, k2.internal:9092",
    }
    composition = compose(load(ROOT / "deploy/events.toml", environ=environ))
    settings = {plugin.name: plugin.settings for plugin in composition.plugins}
    assert settings["postgres"].url.reveal() == environ["ROLEHOST_POSTGRES_URL"]
    assert settings["redis"].url.reveal() == environ["ROLEHOST_REDIS_URL"]
    assert settings["memcached"].servers == ("m1.internal:11211", "m2.internal:11211")
    assert settings["kafka"].servers == ("k1.internal:9092", "k2.internal:9092")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_is_given_longer_to_stop_than_the_supervisor_takes(path: Path) -> None:
    found = re.search(r"terminationGracePeriodSeconds: (\d+)", workload(path.parent))
    assert found is not None
    assert int(found[1]) > load(path, environ={}).host.supervisor.grace


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_is_probed_where_its_deployment_answers(path: Path) -> None:
    deployment = load(path, environ={})
    port = deployment.host.http.bind.rpartition(":")[2]
    manifest = workload(path.parent)
    assert f"containerPort: {port}\n" in manifest
    assert "ops" in deployment.plugins
    prefix = deployment.sections.get("ops", {}).get("prefix", "")
    assert f"path: {prefix}/readyz\n" in manifest
    assert f"path: {prefix}/healthz\n" in manifest


def test_compose_gives_longer_to_stop_than_the_supervisor_takes() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    found = re.search(r"stop_grace_period: (\d+)s", text)
    assert found is not None
    grace = load(ROOT / "deploy/embedded.toml", environ={}).host.supervisor.grace
    assert int(found[1]) > grace


def test_every_variable_of_the_image_and_the_example_overrides_a_setting() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("Dockerfile", ".env.example")]
    found = set(re.findall(r"ROLEHOST__\w+", "\n".join(texts))) - {"ROLEHOST__SECTION__KEY"}
    assert found
    values = {"PATH": "/var/lib/x.db", "BIND": "0.0.0.0:8000", "LEVEL": "info", "TOKEN": "t"}
    environ = {
        name: values[name.rpartition("__")[2]] for name in found - {"ROLEHOST__SECTION__KEY"}
    }
    compose(load(ROOT / "deploy/embedded.toml", environ=environ))


def test_the_image_is_built_from_files_that_are_there() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert list(ROOT.glob(source)), source


def test_the_example_versions_are_those_of_the_metadata() -> None:
    pattern = re.compile(r"image: rolehost:(\S+)")
    versions = {
        found
        for folder in (ROOT / "deploy/k8s").glob("*/")
        for path in folder.glob("*.yaml")
        for found in pattern.findall(path.read_text("utf-8"))
    }
    assert versions == {_version()}


def _version() -> str:
    found = re.search(r"^version = (\S+)$", (ROOT / "setup.cfg").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]
