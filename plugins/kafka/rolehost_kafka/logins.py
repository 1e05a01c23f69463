"""Tests a login with a broker.

If a broker refuses a login and closes the connection at once, kafka-python loses the answer. The
messages are described in https://kafka.apache.org/protocol#sasl_handshake, their tokens in RFC
4616 (PLAIN) and RFC 5802 (SCRAM).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Literal

from rolehost_kafka.settings import KafkaSettings, reveal

#: Requests of the protocol, and codes of its errors.
_HANDSHAKE, _AUTHENTICATE = 17, 36
_SASL_AUTHENTICATION_FAILED = 58

#: The result; "unknown": the broker offers the mechanism, but did not answer the login.
Login = Literal["accepted", "refused", "not offered", "unknown"]

#: Sends a request (key, version, content); returns the body of the answer, or None.
Ask = Callable[[int, int, bytes], bytes | None]


def try_login(settings: KafkaSettings, ask: Ask) -> Login:
    """Log in with the settings.

    Args:
        settings: the plugin's settings, with ``sasl_mechanism``.
        ask: sends requests, on a connection that is as secure as the settings say.
    """
    mechanism = settings.sasl_mechanism or ""
    answer = ask(_HANDSHAKE, 1, struct.pack(">h", len(mechanism)) + mechanism.encode())
    if answer is None or _error_code(answer) != 0:
        return "not offered"
    tokens = _client_tokens(settings)
    token = next(tokens)
    while True:
        answer = ask(_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if answer is None:
            return "unknown"
        if (code := _error_code(answer)) != 0:
            return "refused" if code == _SASL_AUTHENTICATION_FAILED else "unknown"
        try:
            token = tokens.send(_server_token(answer))
        except StopIteration:
            return "accepted"
        except (ValueError, KeyError, struct.error):
            return "unknown"  # RFC 5802 has no such answer


def _client_tokens(settings: KafkaSettings) -> Generator[bytes, bytes, None]:
    """Yield the client's tokens, given the answers of the broker."""
    name = settings.sasl_username
    password = reveal(settings.sasl_password) or ""
    if settings.sasl_mechanism == "PLAIN":
        yield f"\0{name}\0{password}".encode()
    else:
        from kafka.net.sasl.scram import ScramClient

        client = ScramClient(name, password, settings.sasl_mechanism)
        client.process_server_first_message((yield client.first_message()))
        yield client.final_message()


def _server_token(answer: bytes) -> bytes:
    """Return the broker's token, which follows a code and a text that may be null."""
    (text,) = struct.unpack_from(">h", answer, 2)
    start = 4 + max(text, 0)
    (length,) = struct.unpack_from(">i", answer, start)
    return answer[start + 4 : start + 4 + length]


def _error_code(answer: bytes) -> int:
    return int.from_bytes(answer[:2], "big", signed=True)
