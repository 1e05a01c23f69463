"""``rolehost webhooks listen`` and ``send``, against the running host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import click
import pytest
from rolehost_webhooks.commands.messages import Outgoing, from_file
from svix.api import Svix

from .conftest import ROLEHOST, TOKEN, Host


@contextmanager
def listening(host: Host, app: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``listen`` and wait until it listens."""
    process = subprocess.Popen(
        [ROLEHOST, "webhooks", "listen", "--port", "0", "--app", app, *options],
        env={**os.environ, "ROLEHOST_DEPLOYMENT": str(host.file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if "--json" in options else subprocess.STDOUT,
        text=True,
    )
    try:
        told = process.stderr or process.stdout
        assert told is not None
        first = told.readline()
        assert first.startswith("Listening on"), first + told.read()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("via", ["http", "stream"])
def test_what_is_sent_is_heard_byte_for_byte(
    host: Host, svix: Svix, tmp_path: Path, via: str
) -> None:
    app = f"listen-{uuid4().hex}"
    payloads = ['{ "a" : 1.0 }', '{"b":"\\u00e9"}', '{"c":[ ]}']
    file = tmp_path / "messages.json"
    file.write_text(f'[{{"name":"x","examples":[{",".join(payloads)}]}}]')
    with listening(host, app, "--count", "3", "--json") as listener:
        sent = host.command("webhooks", "send", "--app", app, "--via", via, str(file))
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.startswith(f"sent 3 to application {app} in ")
        heard, _ = listener.communicate(timeout=30)
    lines = [json.loads(line) for line in heard.splitlines()]
    assert sorted(line["payload"] for line in lines) == sorted(payloads)
    assert all(line["verified"] for line in lines)
    assert listener.returncode == 0
    assert svix.endpoint.list(app).data == []


def test_listen_ends_tidily_when_it_is_told_to(host: Host, svix: Svix) -> None:
    app = f"listen-{uuid4().hex}"
    with listening(host, app) as listener:
        assert len(svix.endpoint.list(app).data) == 1
        assert listener.stdout is not None
        listener.stdout.readline()
        hint = listener.stdout.readline()
        listener.send_signal(signal.SIGTERM)
        rest, _ = listener.communicate(timeout=10)
    assert listener.returncode == 0
    assert f"/api/v1/app/{app}/msg" in hint
    assert TOKEN not in hint + rest
    assert svix.endpoint.list(app).data == []


def test_the_hosts_refusal_is_told_in_one_line(host: Host) -> None:
    refused = host.command("webhooks", "send", "--type", "not a type", "--data", "{}")
    assert refused.returncode == 1
    assert "eventType" in refused.stderr
    nobody = host.command(
        "webhooks", "send", "--url", "http://127.0.0.1:1", "--type", "a", "--data", "{}"
    )
    assert "no host answers at http://127.0.0.1:1" in nobody.stderr
    wrong = host.command("webhooks", "send", "--token", "wrong", "--type", "a", "--data", "{}")
    assert "401 Invalid token" in wrong.stderr


def test_a_file_may_have_messages_payloads_or_groups_of_examples(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text(
        '{"eventType":"m","payload":{ "a":1 },"eventId":"e"}\n\n'
        '{"name":"g","examples":[{"b":2 },{}]}\n'
        '{"bare": true}\n'
    )
    assert from_file(file, "t") == [
        Outgoing("t", b'{ "a":1 }', "e"),
        Outgoing("t", b'{"b":2 }'),
        Outgoing("t", b"{}"),
        Outgoing("t", b'{"bare": true}'),
    ]
    with pytest.raises(click.ClickException, match="--type"):
        from_file(file, None)


def test_a_malformed_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("[{]")
    with pytest.raises(click.ClickException, match=r"bad\.json"):
        from_file(file, "t")
