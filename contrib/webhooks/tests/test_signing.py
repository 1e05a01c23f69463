"""Signatures are those of Standard Webhooks."""

from __future__ import annotations

import base64
import time

import pytest
from rolehost_webhooks import signing
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

#: The example of the specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification_is_signed_as_there() -> None:
    made = signing.signature([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_libraries_accept_every_secret_of_a_rotation() -> None:
    secrets = [signing.new_secret(), SECRET]
    headers = signing.headers(secrets, "msg_1", int(time.time()), BODY)
    for secret in secrets:
        Webhook(secret).verify(BODY, headers)
        SvixWebhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + b" ", headers)


def test_both_header_families_say_the_same() -> None:
    headers = signing.headers([SECRET], "msg_1", 1, BODY)
    assert len(headers) == 6
    for name in ("id", "timestamp", "signature"):
        assert headers[f"webhook-{name}"] == headers[f"svix-{name}"]


def test_a_secret_is_kept_with_prefix_and_padding() -> None:
    key = base64.b64encode(bytes(25)).decode()
    assert key.endswith("=")
    assert signing.normalise(key.rstrip("=")) == "whsec_" + key
    assert signing.normalise(SECRET) == SECRET


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!" * 4, "A" * 100])
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        signing.normalise(secret)
