"""Validation of names, URLs, headers and payloads, the same for every kind of input.

HTTP and GraphQL bodies, path segments, query parameters, stream events and commands all use
these rules, so that every stored value is valid everywhere and can be sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import idna
import msgspec
from msgspec import Meta

from rolehost_webhooks.errors import NotFound, Rejected

#: Pattern of uids, eventIds, event types, channels and tags. ``$`` alone would allow a newline
#: after the name. ``.`` and ``..`` are excluded because they cannot be a path segment (RFC 3986,
#: 5.2.4), so such an object could not be found.
NAME = r"^(?!\.{1,2}$)[a-zA-Z0-9\-_.]+$(?!\n)"
MAX_NAME = 256
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=NAME)]

#: Iterator of a listing: a name, or a hyphen and a name to go back. If the name itself begins with
#: a hyphen, a tilde before it means that the listing goes forward.
Iterator = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME + 1, pattern=NAME.replace("^", "^~?", 1))
]

#: Free text: any characters except NUL, which PostgreSQL cannot store.
Prose = Annotated[str, Meta(pattern=r"^(?![\s\S]*\x00)")]

#: Maximum size of ``metadata`` as compact JSON, in bytes.
MAX_METADATA = 4096

#: Maximum size of a payload in bytes. The default of ``[http] max_body`` is smaller.
MAX_PAYLOAD = 16_777_216

#: Maximum bytes of a URL and of a header's name and value, as common servers accept them.
MAX_URL = 2048
MAX_HEADER_NAME = 256
MAX_HEADER_VALUE = 4096

#: Headers of a delivery that endpoints must not set, besides the signatures. The first row belongs
#: to the connection (RFC 9110, 7.6.1): setting it could allow request smuggling.
RESERVED_HEADERS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "expect", "content-length", "content-encoding", "content-type", "host"}
    | {"user-agent", "accept-encoding"}
)

#: Prefixes of header names that endpoints must not set.
RESERVED_PREFIXES = ("svix-", "webhook-", "x-amzn-", "x-svix-")

_NAME = re.compile(NAME)

#: RFC 9110, 5.6.2: ``token``.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

#: RFC 9110, 8.3.1: a media type with parameters. The quantifiers for spaces and parameters are
#: possessive, to prevent catastrophic backtracking.
_MEDIA_TYPE = re.compile(
    r"""[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+
    (?:[ \t]*+;[ \t]*+(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+
    =(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\\x00-\x1f\x7f-\uffff]|\\[\x20-\x7e])*+"))?)*+""",
    re.VERBOSE,
)

_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def is_name(text: str) -> bool:
    """Return whether a text is a name: 1 to 256 letters, digits, ``-_.``; not ``.`` or ``..``."""
    return len(text) <= MAX_NAME and _NAME.search(text) is not None


def reference(text: str, what: str) -> str:
    """Return the id or uid in a path or an argument.

    Args:
        what: kind of object for the error message, for example ``Application``.

    Raises:
        NotFound: the text cannot be an id or uid.
    """
    if not is_name(text):
        raise NotFound(what)
    return text


def check_name(text: str, location: tuple[str, ...]) -> None:
    """Check that a text is a name.

    Raises:
        Rejected: the text is not a name.
    """
    if not is_name(text):
        raise Rejected(
            location,
            f"expected 1 to {MAX_NAME} letters, digits, hyphens, underscores or dots,"
            " and neither . nor ..",
        )


def check_uid(uid: str | None, prefix: str) -> None:
    """Check that a uid is a name and does not look like an id.

    Raises:
        Rejected: the uid is not a name, or it begins with the prefix of ids.
    """
    if uid is None:
        return
    check_name(uid, ("body", "uid"))
    if uid.startswith(prefix):
        raise Rejected(("body", "uid"), f"uids must not begin with {prefix}")


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Check the size of metadata.

    Raises:
        Rejected: the metadata has more than 4096 bytes as compact JSON.
    """
    size = len(msgspec.json.encode(metadata or {}))
    if size > MAX_METADATA:
        raise Rejected(("body", "metadata"), f"at most {MAX_METADATA} bytes of JSON, got {size}")


def check_url(url: str) -> None:
    """Check that a text is an absolute HTTP URL. Addresses are checked when a request is sent.

    Raises:
        Rejected: the URL is not absolute HTTP, has user information, or an invalid host.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.port != 0 and bool(_ascii_host(parts))
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise Rejected(("body", "url"), "must be an absolute http or https URL without userinfo")
    if len(url.encode()) > MAX_URL:
        raise Rejected(("body", "url"), f"at most {MAX_URL} bytes")


def with_ascii_host(url: str) -> str:
    """Return a URL with an ASCII host; internationalised names use UTS 46 and IDNA 2008.

    Raises:
        ValueError: the URL has no host, or an invalid one.
    """
    parts = urlsplit(url)
    host = _ascii_host(parts)
    if parts.hostname == host or not host:
        return url
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=host + port))


def _ascii_host(parts: SplitResult) -> str:
    """Return the host in ASCII.

    Raises:
        ValueError: the host is invalid.
    """
    host = parts.hostname or ""
    if ":" in host:
        IPv6Address(host)
        return f"[{host}]"
    if not host.isascii():
        # UnicodeError and idna's own errors are ValueErrors.
        host = idna.encode(host, uts46=True, std3_rules=True).decode()
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"no host name: {host!r}")
    return host


def check_payload(payload: bytes) -> None:
    """Check the size of a payload.

    Raises:
        Rejected: the payload has more than 16 MiB.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Rejected(("body", "payload"), f"at most {MAX_PAYLOAD} bytes, got {len(payload)}")


def check_headers(headers: Mapping[str, str], location: tuple[str, ...]) -> None:
    """Check that headers can be sent and are not reserved for the delivery.

    Raises:
        Rejected: a header is invalid or reserved, or two names differ only in case.
    """
    known = set[str]()
    for name, value in headers.items():
        at = (*location, name)
        low = name.lower()
        if low in RESERVED_HEADERS or low.startswith(RESERVED_PREFIXES):
            raise Rejected(at, "reserved: the delivery sets this header")
        if len(name) > MAX_HEADER_NAME or not _TOKEN.fullmatch(name):
            raise Rejected(at, "not a header name")
        if low in known:
            raise Rejected(at, "given twice, with different case")
        if not _sendable(value):
            raise Rejected(
                at, f"value must be printable ASCII, at most {MAX_HEADER_VALUE} characters"
            )
        known.add(low)


def check_media_type(text: str, location: tuple[str, ...]) -> None:
    """Check that a text can be sent as ``Content-Type``.

    Raises:
        Rejected: the text is not a media type.
    """
    if not _sendable(text) or not _MEDIA_TYPE.fullmatch(text):
        raise Rejected(location, "must be a media type such as application/xml; charset=utf-8")


def _sendable(value: str) -> bool:
    return len(value) <= MAX_HEADER_VALUE and value.isascii() and value.isprintable()


def json_of(value: Any, location: tuple[str, ...]) -> bytes:
    """Encode a decoded JSON value.

    Raises:
        Rejected: the value has an integer of more than 64 bits, or is nested too deeply.
    """
    try:
        return msgspec.json.encode(value)
    except (OverflowError, RecursionError):
        raise Rejected(
            location, "integers have at most 64 bits, and nesting at most 200 levels"
        ) from None


def validate(value: Any, kind: Any, location: tuple[str, ...]) -> Any:
    """Validate a value against one of the types above; None stays None.

    Raises:
        Rejected: the value is invalid.
    """
    try:
        return None if value is None else msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Rejected(location, str(error)) from None
