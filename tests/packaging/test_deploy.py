"""The files of ``deploy/`` and of the image can be run unchanged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rolehost.composition import access_of, compose, examine
from rolehost.deployment import Deployment, load

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

#: Storage of a fleet → the environment that selects it.
SWAPS = {
    "as it is written": {},
    "no Redis": {"QUEUE": "postgres", "CACHE": "memcached"},
    "jobs wake through PostgreSQL": {"QUEUE": "postgres"},
    "memcached instead of Redis": {"CACHE": "memcached"},
}
K8S = ROOT / "deploy/k8s"
#: The token of API clients, and the token of readers of metrics.
TOKEN = {"ROLEHOST_WEBHOOKS_TOKEN": "a-token", "ROLEHOST_OPERATOR_TOKEN": "another-token"}
#: Manifests of pods that run roles; the kustomization of the fleet has their shared part.
PODS = sorted(K8S.glob("*/deployment.yaml")) + sorted(K8S.glob("*/statefulset.yaml"))
COMPOSE = ("docker-compose.yml", "docker-compose.fleet.yml")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT / "deploy"))


def manifests(path: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(path.read_text("utf-8")) if item]


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables of the fleet's config map that a container imports."""
    asked = [source.get("configMapRef", {}).get("name") for source in container.get("envFrom", ())]
    (fleet,) = manifests(K8S / "fleet/kustomization.yaml")
    return dict(
        literal.split("=", 1)
        for generated in fleet["configMapGenerator"]
        if generated["name"] in asked
        for literal in generated["literals"]
    )


def image_variables() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    return dict(re.findall(r"(ROLEHOST__\w+)=(\S+)", text))


def deployment_of(arguments: list[str], folder: Path, environ: dict[str, str]) -> Deployment:
    """Return the deployment that these arguments of the image run: mounted, else the image's."""
    (file,) = [Path(word) for word in arguments if word.startswith("/etc/rolehost/")]
    mounted = folder / file.name
    path = mounted if mounted.exists() else ROOT / "deploy" / file.name
    return load(path, environ=image_variables() | TOKEN | environ)


def pod(path: Path) -> tuple[dict[str, Any], dict[str, Any], Deployment]:
    """Return the pod of a manifest, its container, and the deployment that this runs."""
    (manifest,) = manifests(path)
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container, deployment_of(container["args"], path.parent, variables(container))


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=relative)
def test_a_deployment_composes(path: Path) -> None:
    assert compose(load(path, environ=TOKEN)).roles


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=relative)
def test_a_deployment_with_named_roles_is_exactly_these(path: Path) -> None:
    composition = compose(load(path, environ=TOKEN))
    claimed = composition.deployment.host.deployment.roles
    assert claimed is None or set(claimed) == set(composition.roles)


@pytest.mark.parametrize("path", [ROOT / "deploy/api.toml", *K8S.glob("*/deployment.toml")])
def test_an_api_that_would_let_everybody_in_does_not_start_in_production(path: Path) -> None:
    composition, problems = examine(load(path, environ={}))
    assert composition is None
    (problem,) = [each for each in problems if each.code == "refused-setting"]
    assert problem.where.startswith(f"{path}:") and problem.where.endswith("webhooks-api.token")


def test_the_embedded_deployment_needs_no_environment_variables() -> None:
    assert compose(load(ROOT / "deploy/embedded.toml", environ={})).roles


def test_the_default_command_of_the_image_does_not_start_without_a_token() -> None:
    path = ROOT / "deploy/embedded.toml"
    composition, (problem,) = examine(load(path, environ=image_variables()))
    assert composition is None
    assert problem.code == "unauthenticated-routes"
    assert problem.where == "environment ROLEHOST__HTTP__BIND, http.bind"
    one_token = {"ROLEHOST_WEBHOOKS_TOKEN": "a-token"}
    assert compose(load(path, environ=image_variables() | one_token)).roles


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_does_not_start_without_the_operators_token(path: Path) -> None:
    _, container, _ = pod(path)
    none = {"ROLEHOST_OPERATOR_TOKEN": ""} | variables(container)
    composition, (problem,) = examine(deployment_of(container["args"], path.parent, none))
    assert composition is None
    assert problem.code == "unauthenticated-routes"


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_answers_its_probes_and_nothing_else_without_a_token(path: Path) -> None:
    composition = compose(pod(path)[2])
    http = composition.deployment.host.http
    opened = {
        owned.value.path
        for owned in composition.routes
        if access_of(owned, composition.authentications, http) not in {"plugin", "token"}
    }
    assert opened <= {"/healthz", "/readyz", "/api/v1/health", "/api/v1/health/ping"}


def test_the_split_deployments_together_equal_the_embedded_one() -> None:
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
    composition = compose(load(ROOT / f"deploy/{name}.toml", environ=TOKEN | environ))
    chosen = {kind: owned.value.name for kind, owned in composition.backends.items()}
    expected = {"database": "postgres", "queue": "redis", "cache": "redis", "stream": "kafka"}
    expected |= {kind.lower(): backend for kind, backend in SWAPS[swap].items()}
    if name != "events":  # no other deployment has to do with a stream
        del expected["stream"]
    assert chosen == expected


@pytest.mark.parametrize(
    ("name", "plugins"),
    [("api", "openapi,webhooks-api"), ("worker", "webhooks-delivery")],
)
def test_a_fleet_without_events_runs_on_postgresql_alone(name: str, plugins: str) -> None:
    environ = {
        "ROLEHOST__STORAGE__QUEUE": "postgres",
        "ROLEHOST__PLUGINS": f"postgres,ops,{plugins}",
    }
    composition = compose(load(ROOT / f"deploy/{name}.toml", environ=TOKEN | environ))
    chosen = {kind: owned.value.name for kind, owned in composition.backends.items()}
    assert chosen == {"database": "postgres", "queue": "postgres"}


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
        composition = compose(load(tmp_path / f"{name}.toml", environ=TOKEN))
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
def test_a_pod_runs_roles_that_its_deployment_has(path: Path) -> None:
    _, container, deployment = pod(path)
    composition = compose(deployment)
    words = container["args"]
    chosen = {words[number + 1] for number, word in enumerate(words) if word == "--role"}
    assert chosen <= set(composition.roles)
    assert chosen == set() or len(composition.roles) > len(chosen)


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_is_given_longer_to_stop_than_the_supervisor_takes(path: Path) -> None:
    spec, _, deployment = pod(path)
    assert spec["terminationGracePeriodSeconds"] > deployment.host.supervisor.grace


@pytest.mark.parametrize("path", PODS, ids=relative)
def test_a_pod_is_probed_where_its_deployment_answers(path: Path) -> None:
    _, container, deployment = pod(path)
    port = int(deployment.host.http.bind.rpartition(":")[2])
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert deployment.host.http.bind.startswith("0.0.0.0:")
    assert "ops" in deployment.plugins
    prefix = deployment.sections.get("ops", {}).get("prefix", "")
    assert container["readinessProbe"]["httpGet"]["path"] == f"{prefix}/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == f"{prefix}/healthz"


def test_one_secret_has_the_addresses_of_the_engines_for_all_pods() -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "deploy/engines.toml").read_text("utf-8")))
    reported = (K8S / "fleet/kustomization.yaml").read_text("utf-8")
    assert [name for name in named if name not in reported] == []
    for path in [*(K8S / name / "deployment.yaml" for name in FLEET), K8S / "migrate/job.yaml"]:
        (manifest,) = manifests(path)
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        secrets = [source.get("secretRef", {}).get("name") for source in container["envFrom"]]
        assert "rolehost-engines" in secrets, path


def test_the_tables_are_brought_up_by_a_job_that_knows_those_of_every_role() -> None:
    (manifest,) = manifests(K8S / "migrate/job.yaml")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    known = compose(deployment_of(container["args"], K8S, {})).schema_sets
    for name in FLEET:
        _, _, deployment = pod(K8S / name / "deployment.yaml")
        assert set(compose(deployment).schema_sets) <= set(known)
        assert deployment.host.deployment.migrate == "check"


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_runs_deployments_that_compose_and_stop_in_time(name: str) -> None:
    (document,) = manifests(ROOT / name)
    ours = [each for each in document["services"].values() if each["image"] == "rolehost:dev"]
    assert len(ours) == (5 if "fleet" in name else 1)
    for service in ours:
        arguments = service.get("command", ["run", "/etc/rolehost/embedded.toml"])
        environ = service.get("environment", {})
        given = {key: str(value) for key, value in environ.items() if not key.endswith("PASSWORD")}
        deployment = deployment_of(arguments, ROOT / "deploy", given)
        assert compose(deployment).roles
        assert int(service["stop_grace_period"].rstrip("s")) > deployment.host.supervisor.grace


def test_compose_has_a_health_check_for_every_engine_and_volumes_only_for_durable_ones() -> None:
    (document,) = manifests(ROOT / "docker-compose.fleet.yml")
    engines = {
        name: each for name, each in document["services"].items() if "rolehost" not in each["image"]
    }
    assert engines.keys() == {"postgres", "redis", "memcached", "kafka"}
    assert all("healthcheck" in each for each in engines.values())
    assert all(each["networks"] == ["engines"] for each in engines.values())
    assert {name for name, each in engines.items() if "volumes" in each} == {"postgres", "kafka"}


def test_every_variable_of_the_image_and_the_example_overrides_a_setting() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("Dockerfile", ".env.example")]
    found = set(re.findall(r"ROLEHOST__\w+", "\n".join(texts))) - {"ROLEHOST__SECTION__KEY"}
    values = {
        "PATH": "/var/lib/x.db",
        "BIND": "0.0.0.0:8000",
        "LEVEL": "info",
        "QUEUE": "postgres",
        "CACHE": "memcached",
    }
    environ = {name: values[name.rpartition("__")[2]] for name in found}
    assert environ
    compose(load(ROOT / "deploy/api.toml", environ=TOKEN | environ))
    alone = {name: value for name, value in environ.items() if "STORAGE" not in name}
    compose(load(ROOT / "deploy/embedded.toml", environ=TOKEN | alone))


def test_the_example_names_every_variable_of_the_engines() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    named = re.findall(r"\$\{(\w+)", (ROOT / "deploy/engines.toml").read_text("utf-8"))
    assert [name for name in named if f"{name}=" not in example] == []


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
