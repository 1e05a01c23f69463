"""The four deployments of the fleet, as their files say, in one process and one world."""

from __future__ import annotations

import pytest
from rolehost_testing.kit import Hosts
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.sender import Sender

from tests.proofs.fleet_check_case import ENVIRON
from tests.proofs.kit import ROOT

DEPLOY = ROOT / "deploy"
CLIENT = {"Authorization": f"Bearer {ENVIRON['ROLEHOST_WEBHOOKS_TOKEN']}"}


def test_a_message_goes_from_the_api_to_the_worker_and_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    async def post(_: Sender, url: str, *_rest: object) -> Answer:
        sent.append(url)
        return Answer(204, "", 1)

    monkeypatch.setattr(Sender, "post", post)
    hosts = Hosts()
    try:
        api = hosts(DEPLOY / "api.toml")
        worker, events, scheduler = (
            hosts(DEPLOY / f"{name}.toml", beside=api) for name in ("worker", "events", "scheduler")
        )
        for path, body in (
            ("", {"name": "x", "uid": "app"}),
            ("/app/endpoint", {"url": "https://example.com/hook"}),
            ("/app/msg", {"eventType": "paid", "payload": {"n": 1}}),
        ):
            answer = api.client.post(f"/api/v1/app{path}", json=body, headers=CLIENT)
            assert answer.status in (201, 202)
        for other in (api, events):
            assert other.drain() == []
        assert worker.drain().names == ["webhooks.fan_out", "webhooks.deliver"]
        assert sent == ["https://example.com/hook"]
        assert scheduler.drain() == []
    finally:
        hosts.close()
