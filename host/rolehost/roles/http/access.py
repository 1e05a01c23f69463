"""Access control: the admission of a request to the route that it matched.

An admission is a function of Falcon's request, for HTTP or a WebSocket. It returns if the request
is admitted; otherwise it raises the error for the client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import falcon

from rolehost.api.contributions import Authentication, Route
from rolehost.api.http import bearer
from rolehost.composition import Composition, Owned, access_of
from rolehost.failures import as_runtime_error
from rolehost.loopback import names_loopback

Admission = Callable[[Any], None]

#: Values of ``Sec-Fetch-Site`` (Fetch Metadata) in requests that no other origin caused.
_OWN_SITE = frozenset({b"same-origin", b"none"})

#: Headers that proxies add (RFC 7239; RFC 9110, section 7.6.3; common older names).
_PROXY_HEADERS = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"}
)

#: Headers that :func:`admit_local` checks.
_CHECKED_HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site", b"content-type"})

_TOKEN_HINT = "; other programs and web pages need a token: set token in [http]"


def admissions(composition: Composition) -> Callable[[Owned[Route]], Admission | None]:
    """Return a function that maps a route to its admission; None admits every request."""
    http = composition.deployment.host.http
    by_plugin = {
        plugin: admission_by(owned.value) for plugin, owned in composition.authentications.items()
    }
    by_token = admission_by(bearer(http.token)) if http.token else None

    def admission(owned: Owned[Route]) -> Admission | None:
        match access_of(owned, composition.authentications, http):
            case "plugin":
                return by_plugin[owned.plugin]
            case "token":
                return by_token
            case "local":
                return admit_local
            case _:
                return None

    return admission


def admission_by(authentication: Authentication) -> Admission:
    """Return an admission that uses an authentication."""
    admits = authentication.admits

    def admit(req: Any) -> None:
        try:
            admitted = admits(req)
        except falcon.HTTPStatus:
            # Falcon would send this as the response, possibly with status 200.
            admitted = False
        except falcon.HTTPError as error:
            if error.status_code >= 400:
                raise
            admitted = False
        except Exception:
            raise
        except BaseException as error:
            # This may be SystemExit, for example, which would end the process before a response.
            raise as_runtime_error(error) from error
        if admitted is not True:
            raise falcon.HTTPUnauthorized(
                description=authentication.refusal,
                challenges=[authentication.challenge],
                code="authentication_failed",
            )

    return admit


def admit_local(req: Any) -> None:
    """Admit requests from programs on this machine, and from pages that this host serves.

    A page in a browser can send requests to a loopback address too (CSRF). Headers reveal it:
    ``Host``, because a name of the page's domain may resolve to 127.0.0.1 (DNS rebinding);
    ``Origin`` or ``Sec-Fetch-Site``; and a ``Content-Type`` that a browser sends to other
    origins without a preflight request (Fetch, "CORS-safelisted").
    """
    headers: dict[bytes, bytes] = dict(req.scope["headers"])
    checked = [name for name, _ in req.scope["headers"] if name in _CHECKED_HEADERS]
    if len(checked) > len(set(checked)):
        raise falcon.HTTPBadRequest(
            description="Each of the headers Host, Origin, Sec-Fetch-Site and Content-Type may"
            " occur only once."
        )
    if not _PROXY_HEADERS.isdisjoint(headers):
        # The client of the proxy may be on another machine.
        raise _forbidden(f"Requests that a proxy forwards are refused{_TOKEN_HINT}.")
    host = headers.get(b"host", b"")
    if not _is_local(host):
        raise _forbidden(f"The header Host must name a loopback address or localhost{_TOKEN_HINT}.")
    if b"origin" in headers:
        scheme, _, name = headers[b"origin"].lower().partition(b"://")
        if scheme not in (b"http", b"https") or name != host.lower():
            raise _forbidden(f"Pages of other origins are refused{_TOKEN_HINT}.")
    if headers.get(b"sec-fetch-site", b"none").lower() not in _OWN_SITE:
        raise _forbidden(f"Requests that pages of other origins cause are refused{_TOKEN_HINT}.")
    if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
        media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media != b"application/json":
            raise falcon.HTTPUnsupportedMediaType(
                description="A body must have the header Content-Type: application/json where no"
                " token protects the route, so that no web page can send it."
            )


@lru_cache(maxsize=256)
def _is_local(host: bytes) -> bool:
    text = host.decode("latin-1")
    name, colon, port = text.rpartition(":")
    return names_loopback(name if colon and port.isascii() and port.isdecimal() else text)


def _forbidden(description: str) -> falcon.HTTPForbidden:
    return falcon.HTTPForbidden(description=description, code="local_requests_only")
