"""The section ``[openapi]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings


class OpenapiSettings(Settings, frozen=True):
    """``[openapi]``; every value has a default.

    Attributes:
        prefix: prefix of the paths of document and page, for example ``/internal``; empty, or
            begins with a slash.
        title: title of the API; if it is empty, the name of the deployment.
        version: version of the API, not of the host.
        description: description of the API in CommonMark.
        servers: URLs of the API; if empty, the server that serves the document.
        page: also serve the page, at ``/docs``.
        open: serve document and page without authentication. Browsers send no token when they
            open a page.
    """

    prefix: Annotated[str, Meta(pattern=r"^(/[^/{}]+)*$")] = ""
    title: str = ""
    version: str = "1"
    description: str = ""
    servers: tuple[str, ...] = ()
    page: bool = True
    open: bool = False
