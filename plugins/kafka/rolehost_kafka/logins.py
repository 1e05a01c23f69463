"""Whether brokers take a login, asked as a client asks it.

kafka-python loses the answer of a broker that refuses a login and hangs up in the same moment.
The messages are those of https://kafka.apache.org/protocol#sasl_handshake.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

from rolehost_kafka.settings import KafkaSettings

#: Requests of the protocol, and codes of its errors.
_HANDSHAKE, _AUTHENTICATE = 17, 36
_FAILED = 58

#: What became of it; "unknown" says that the broker offers the mechanism, and no more.
Login = Literal["taken", "refused", "not offered", "unknown"]

#: Given a request's key, version and content, returns the body of the answer, None for none.
Ask = Callable[[int, int, bytes], bytes | None]


def try_login(settings: KafkaSettings, ask: Ask) -> Login:
    """Log in with the settings; only with PLAIN the password is tried.

    Args:
        settings: with a mechanism.
        ask: of a connection that is as secure as the settings say.
    """
    mechanism = (settings.sasl_mechanism or "").encode()
    answer = ask(_HANDSHAKE, 1, struct.pack(">h", len(mechanism)) + mechanism)
    if answer is None or _code(answer) != 0:
        return "not offered"
    if mechanism != b"PLAIN":
        return "unknown"
    password = "" if settings.sasl_password is None else settings.sasl_password.reveal()
    token = f"\0{settings.sasl_username}\0{password}".encode()
    answer = ask(_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
    if answer is None:
        return "unknown"
    code = _code(answer)
    return "taken" if code == 0 else "refused" if code == _FAILED else "unknown"


def _code(answer: bytes) -> int:
    return int.from_bytes(answer[:2], "big", signed=True)
