"""The one reading of a request's path.

A path is read from the bytes that the client sent (``raw_path`` of the ASGI scope), before
percent-encoding is decoded, and nothing else of the host reads it again. Sources: RFC 3986,
sections 2.1, 3.3 and 6.2.2; RFC 9112, section 3.2.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

#: Bytes that no path has: beyond printable ASCII; the number sign, which ends a path; and the
#: backslash, which some programs take for a slash.
_FORBIDDEN = re.compile(rb"[^\x21\x22\x24-\x5b\x5d-\x7e]")

#: A percent sign without two hexadecimal digits, and an encoded NUL, which no database stores.
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")

_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")

#: A variable of a URI template, with its converter.
_FIELD = re.compile(r"(\{[^}]*\})")

#: What a client sends as it is; everything else of a literal segment is percent-encoded.
_PLAIN = "!\"$&'()*+,-./:;<=>@[]^_`{|}~"


#: The paths of nearly all requests: nothing is encoded, no segment is empty or begins with a dot.
ORDINARY = re.compile(
    rb"(?:/[\x21\x22\x24\x26-\x2d\x30-\x5b\x5d-\x7e][\x21\x22\x24\x26-\x2e\x30-\x5b\x5d-\x7e]*+)++"
)


class MalformedPath(ValueError):
    """The path is not one that a URI can have."""


def decoded(raw: bytes) -> str | None:
    """Return a path with its percent-encoding decoded.

    Returns:
        The path; None if it is well-formed and no route can have it: it does not begin with a
        slash (absolute-form, ``*``), or it has an empty segment, ``.``, ``..`` or an encoded
        slash. One slash at the end is kept.

    Raises:
        MalformedPath: it has a forbidden character, a malformed escape, or is not UTF-8.
    """
    if _FORBIDDEN.search(raw):
        raise MalformedPath
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise MalformedPath
        try:
            path = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise MalformedPath from None
        if b"%2f" in raw.lower():
            return None
    else:
        path = raw.decode("ascii")
    if not path.startswith("/") or "//" in path or ("/." in path and _DOT_SEGMENT.search(path)):
        return None
    return path


def spelling(template: str) -> re.Pattern[bytes]:
    """Return the pattern of the paths, as sent, whose literal parts are those of a template."""
    parts = []
    for part in _FIELD.split(template):
        if part.startswith("{"):
            # The converter ``path`` takes several segments.
            parts.append(b".+" if ":path" in part else b"[^/]+")
        else:
            parts.append(re.escape(quote(part, safe=_PLAIN).encode("ascii")))
    return re.compile(b"".join(parts) + b"/?")
