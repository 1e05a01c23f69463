"""Secrets and signatures by Standard Webhooks 1.0 (symmetric, ``v1``)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"

#: Minimum and maximum number of bytes of a secret by the standard.
MIN_BYTES = 24
MAX_BYTES = 64


def new_secret() -> str:
    """Return a new secret: ``whsec_`` and 24 random bytes from the operating system in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(MIN_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret given as base64, with or without its prefix.

    Raises:
        ValueError: the secret is not base64, or shorter or longer than the standard allows.
    """
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is base64, optionally after whsec_") from error
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(f"a secret has {MIN_BYTES} to {MAX_BYTES} bytes, this one {len(key)}")
    return key


def normalise(secret: str) -> str:
    """Return a secret in its normal form, with prefix and padding.

    Raises:
        ValueError: as :func:`key_of`.
    """
    return PREFIX + base64.b64encode(key_of(secret)).decode()


def signature(keys: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the signature header: one ``v1`` signature for each secret.

    Args:
        keys: secrets, the newest first; more than one during the grace period of a rotation.
        message_id: id of the message, the same for every attempt.
        timestamp: time of this attempt in Unix seconds.
        body: the exact bytes that are sent.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    parts = []
    for secret in keys:
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        parts.append("v1," + base64.b64encode(digest).decode())
    return " ".join(parts)


def headers(keys: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers, each under its standard name and its Svix name."""
    values = {
        "id": message_id,
        "timestamp": str(timestamp),
        "signature": signature(keys, message_id, timestamp, body),
    }
    return {
        f"{family}-{name}": value
        for family in ("webhook", "svix")
        for name, value in values.items()
    }
