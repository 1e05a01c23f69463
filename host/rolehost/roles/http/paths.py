"""Decodes the path of a request. No other code of the host reads a path.

The input is the bytes that the client sent (``raw_path`` of the ASGI scope), before
percent-decoding. Sources: RFC 3986, sections 2.1, 3.3 and 6.2.2; RFC 9112, section 3.2.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

#: Bytes that a path must not have: all outside printable ASCII; the number sign, which ends a path;
#: and the backslash, which some programs treat as a slash.
_FORBIDDEN = re.compile(rb"[^\x21\x22\x24-\x5b\x5d-\x7e]")

#: A percent sign without two hexadecimal digits, or an encoded NUL, which no database can store.
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")

_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")

#: A variable of a URI template, with its converter.
_FIELD = re.compile(r"(\{[^}]*\})")

#: Characters of a literal segment that a client does not percent-encode.
_PLAIN = "!\"$&'()*+,-./:;<=>@[]^_`{|}~"


#: Matches most paths: nothing is encoded, and no segment is empty or begins with a dot.
ORDINARY = re.compile(
    rb"(?:/[\x21\x22\x24\x26-\x2d\x30-\x5b\x5d-\x7e][\x21\x22\x24\x26-\x2e\x30-\x5b\x5d-\x7e]*+)++"
)


class MalformedPath(ValueError):
    """The path is not valid in a URI."""


def decode_path(raw: bytes) -> str | None:
    """Return the decoded path; a trailing slash stays.

    None: the path is well-formed, but no route can match it, because it does not begin with a
    slash (absolute-form, ``*``), or has an empty segment, ``.``, ``..`` or an encoded slash.
    MalformedPath: it has a forbidden character or a malformed escape, or is not UTF-8.
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


def raw_pattern(template: str) -> re.Pattern[bytes]:
    """Return a pattern for raw paths that have exactly the literal parts of a template."""
    parts = []
    for part in _FIELD.split(template):
        if part.startswith("{"):
            # The converter ``path`` matches several segments.
            parts.append(b".+" if ":path" in part else b"[^/]+")
        else:
            parts.append(re.escape(quote(part, safe=_PLAIN).encode("ascii")))
    return re.compile(b"".join(parts) + b"/?")
