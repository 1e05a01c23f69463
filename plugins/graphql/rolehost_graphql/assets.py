"""The files of the page: GraphiQL and React from their packages, and this plugin's own files.

GraphiQL and React are stored compressed in ``page/vendor``, with their licences.
"""

from __future__ import annotations

import gzip
import hashlib
from html import escape
from pathlib import Path

_PAGE = Path(__file__).parent / "page"

_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

#: Files in ``page`` that the page loads, by their names in the page.
_FILES = {
    "react.js": "vendor/react.js.gz",
    "react-dom.js": "vendor/react-dom.js.gz",
    "graphiql.js": "vendor/graphiql.js.gz",
    "graphiql.css": "vendor/graphiql.css.gz",
    "start.js": "start.js",
    "page.css": "page.css",
}


class Asset:
    """One file.

    Attributes:
        media_type: its media type.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._path = path
        self.media_type = _MEDIA_TYPES[Path(name).suffix]

    def read(self) -> bytes:
        """Return the content."""
        content = self._path.read_bytes()
        return gzip.decompress(content) if self._path.suffix == ".gz" else content

    def compressed(self) -> bytes:
        """Return the content as gzip."""
        content = self._path.read_bytes()
        return content if self._path.suffix == ".gz" else gzip.compress(content, mtime=0)


class Assets:
    """The files that the page loads, by name. Their path contains their version."""

    def __init__(self, path: str) -> None:
        #: Path of the files.
        self.path = f"{path}/assets"
        #: Last segment of the API's path.
        self.api = path.rpartition("/")[2]
        digest = hashlib.sha256()
        for name in sorted(_FILES.values()):
            digest.update((_PAGE / name).read_bytes())
        #: Changes if one of the files changes.
        self.version = digest.hexdigest()[:12]

    def find(self, version: str, name: str) -> Asset | None:
        """Return a file, or None if this version has no file of that name."""
        file = _FILES.get(name) if version == self.version else None
        return Asset(name, _PAGE / file) if file is not None else None


def page(assets: Assets, api: str) -> bytes:
    """Return the HTML of the page; its links are relative, so a proxy can add a prefix.

    Args:
        assets: the files that the page loads.
        api: path of the API, relative to the path of the page.
    """
    template = (_PAGE / "graphiql.html").read_text(encoding="utf-8")
    html = template.replace("{{assets}}", escape(f"{api}/assets/{assets.version}"))
    return html.replace("{{api}}", escape(api)).encode()
