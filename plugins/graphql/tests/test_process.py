"""The plugin in a real http role, beside the plugin that gives most to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("rolehost_ops"),
    pytest.mark.needs("rolehost_webhooks"),
]

CREATE = "mutation($n: String!) { createApplication(input: {name: $n, uid: $n}) { id } }"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where a running deployment answers; it ends well afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    (tmp_path / "g.toml").write_text(
        'plugins = ["graphql", "ops", "embedded", "webhooks-api"]\n'
        f'[http]\nbind = "{address}"\naccess_log = false\n[embedded]\npath = "g.db"\n'
    )
    host = [sys.executable, "-m", "rolehost"]
    subprocess.run([*host, "migrate", "up", "-d", "g.toml"], cwd=tmp_path, check=True)
    ours, theirs = os.pipe()
    environ = os.environ | {"ROLEHOST_STATUS_FD": str(theirs), "XDG_RUNTIME_DIR": str(tmp_path)}
    role = [sys.executable, "-m", "rolehost.roles", "--role", "http", "--deployment", "g.toml"]
    process = subprocess.Popen(role, pass_fds=(theirs,), env=environ, cwd=tmp_path)
    os.close(theirs)
    with os.fdopen(ours) as status:
        try:
            assert status.readline() == "ready\n"
            yield f"http://{address}/graphql"
        finally:
            process.terminate()
            assert process.wait(30) == 0


def ask(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(url, body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def test_operations_stand_among_the_metrics_of_the_host(url: str):
    ask(url, "query Mine { applications { nodes { id } } }")
    with urlopen(url.replace("/graphql", "/metrics"), timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert 'graphql_operations_total{operation="query",outcome="completed"} 1.0' in lines
    assert 'graphql_operation_duration_seconds_count{operation="query"} 1.0' in lines
    assert not any("Mine" in line for line in lines)


def test_the_host_serves_what_its_plugins_give(url: str):
    for name in ("one", "two"):
        assert ask(url, CREATE, n=name)["createApplication"]["id"].startswith("app_")
    found = ask(url, "{ applications { nodes { uid endpoints { nodes { id } } } } }")
    assert found["applications"]["nodes"] == [
        {"uid": "one", "endpoints": {"nodes": []}},
        {"uid": "two", "endpoints": {"nodes": []}},
    ]
