"""``/openapi.json`` and the page ``/docs``."""

from __future__ import annotations

import hashlib
import threading

import falcon
import msgspec
from rolehost.api import Services
from rolehost.api.http import operation

from rolehost_openapi.assets import Assets, page
from rolehost_openapi.document import build
from rolehost_openapi.settings import OpenapiSettings

#: Content security policy: the page loads resources from this server only, so it works offline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_YEAR = 31_536_000


class DocumentResource:
    """The document of the running composition, built at the first request and kept."""

    def __init__(self, settings: OpenapiSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._body = b""
        self._etag = ""

    @operation(summary="This document", responses={200: dict, 304: None})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the document, or with 304 if the client has it."""
        body, etag = self._rendered(req.context.services)
        resp.etag = etag
        # Clients may store it but must revalidate it, because a new release may have other routes.
        resp.cache_control = ("no-cache",)
        if _matches_etag(req, etag):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = falcon.MEDIA_JSON
        resp.data = body

    def _rendered(self, services: Services) -> tuple[bytes, str]:
        """Return the document, and its entity tag, which is the same in every process."""
        with self._lock:
            if not self._body:
                document = build(
                    services.routes,
                    services.error_formats,
                    deployment=services.deployment,
                    settings=self._settings,
                )
                self._body = msgspec.json.encode(document)
                self._etag = hashlib.sha256(self._body).hexdigest()[:32]
            return self._body, self._etag


class PageResource:
    """The page that shows the document."""

    def __init__(self, assets: Assets) -> None:
        self._page = assets

    @operation(hidden=True)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the page."""
        resp.content_type = falcon.MEDIA_HTML
        resp.cache_control = ("no-cache",)
        resp.set_header("Content-Security-Policy", POLICY)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.data = page(self._page)


class AssetResource:
    """Scripts and styles of the page; their path contains their version, so they never change."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @operation(hidden=True)
    def on_get(self, req: falcon.Request, resp: falcon.Response, version: str, name: str) -> None:
        """Answer with a file, compressed if the client accepts that."""
        asset = self._assets.find(version, name)
        if asset is None:
            raise falcon.HTTPNotFound(description=f"no file {name} of version {version}")
        resp.content_type = asset.media_type
        resp.cache_control = (f"public, max-age={_YEAR}, immutable",)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.append_header("Vary", "Accept-Encoding")
        if "gzip" in (req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            resp.data = asset.compressed()
        else:
            resp.data = asset.read()


def _matches_etag(req: falcon.Request, etag: str) -> bool:
    return any(tag == "*" or tag == etag for tag in req.if_none_match or ())
