"""Whether brokers take a login, asked as a client asks it.

kafka-python loses the answer of a broker that refuses a login and hangs up in the same moment.
The messages are those of https://kafka.apache.org/protocol#sasl_handshake, the tokens in them
those of RFC 4616 (PLAIN) and RFC 5802 (SCRAM).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Literal

from rolehost_kafka.settings import KafkaSettings

#: Requests of the protocol, and codes of its errors.
_HANDSHAKE, _AUTHENTICATE = 17, 36
_FAILED = 58

#: What became of it; "unknown": the broker offers the mechanism, and said no more.
Login = Literal["taken", "refused", "not offered", "unknown"]

#: Given a request's key, version and content, returns the body of the answer, None for none.
Ask = Callable[[int, int, bytes], bytes | None]


def try_login(settings: KafkaSettings, ask: Ask) -> Login:
    """Log in with the settings.

    Args:
        settings: with a mechanism.
        ask: of a connection that is as secure as the settings say.
    """
    mechanism = settings.sasl_mechanism or ""
    answer = ask(_HANDSHAKE, 1, struct.pack(">h", len(mechanism)) + mechanism.encode())
    if answer is None or _code(answer) != 0:
        return "not offered"
    tokens = _tokens(settings)
    token = next(tokens)
    while True:
        answer = ask(_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if answer is None:
            return "unknown"
        if (code := _code(answer)) != 0:
            return "refused" if code == _FAILED else "unknown"
        try:
            token = tokens.send(_challenge(answer))
        except StopIteration:
            return "taken"
        except (ValueError, KeyError, struct.error):
            return "unknown"  # no such answer is in RFC 5802


def _tokens(settings: KafkaSettings) -> Generator[bytes, bytes, None]:
    """Yield what a client says of its name and password, given what the broker answered."""
    name = settings.sasl_username
    password = "" if settings.sasl_password is None else settings.sasl_password.reveal()
    if settings.sasl_mechanism == "PLAIN":
        yield f"\0{name}\0{password}".encode()
    else:
        from kafka.net.sasl.scram import ScramClient

        client = ScramClient(name, password, settings.sasl_mechanism)
        client.process_server_first_message((yield client.first_message()))
        yield client.final_message()


def _challenge(answer: bytes) -> bytes:
    """Return the broker's token: it stands behind a code and a text, which may be null."""
    (text,) = struct.unpack_from(">h", answer, 2)
    start = 4 + max(text, 0)
    (length,) = struct.unpack_from(">i", answer, start)
    return answer[start + 4 : start + 4 + length]


def _code(answer: bytes) -> int:
    return int.from_bytes(answer[:2], "big", signed=True)
