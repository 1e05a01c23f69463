"""The files of the page: Swagger UI from the package ``offapi``, and this plugin's own files.

``offapi`` is located but not imported, because an import reads all its pages into memory.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from functools import cache, cached_property
from html import escape
from pathlib import Path

_OWN = Path(__file__).parent / "page"

_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Asset:
    """One file.

    Attributes:
        media_type: its media type.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.media_type = _MEDIA_TYPES[path.suffix]

    def read(self) -> bytes:
        """Return the content."""
        return self._path.read_bytes()

    def compressed(self) -> bytes:
        """Return the content as gzip; it is compressed once per process."""
        return _compress(self._path)


class Assets:
    """The files that the page loads, by name. Their path contains their version."""

    def __init__(self) -> None:
        vendor = _vendor()
        self._files = {
            "swagger-ui.js": vendor / "swagger_bundle.js",
            "swagger-ui.css": vendor / "swagger_style.css",
            "start.js": _OWN / "start.js",
            "page.css": _OWN / "page.css",
        }

    @cached_property
    def version(self) -> str:
        """Changes if one of the files changes."""
        from importlib.metadata import version  # slow to import, and commands do not need it

        own = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_OWN.iterdir())))
        return f"{version('offapi')}-{own.hexdigest()[:8]}"

    def find(self, version: str, name: str) -> Asset | None:
        """Return a file, or None if this version has no file of that name."""
        path = self._files.get(name)
        return Asset(path) if path is not None and version == self.version else None


def page(assets: Assets) -> bytes:
    """Return the HTML of the page; its links are relative, so a proxy can add a prefix."""
    template = (_OWN / "docs.html").read_text(encoding="utf-8")
    return template.replace("{{version}}", escape(assets.version)).encode()


@cache
def _compress(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


def _vendor() -> Path:
    spec = importlib.util.find_spec("offapi")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("offapi is missing: reinstall rolehost-openapi", name="offapi")
    return Path(next(iter(spec.submodule_search_locations)))
