"""The section ``[openapi]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings


class OpenapiSettings(Settings, frozen=True):
    """``[openapi]``; every value has a default.

    Attributes:
        prefix: put before the paths of document and page, ``/internal``; empty or beginning
            with a slash.
        title: title of the API; empty takes the deployment's name.
        version: version of the API, not of the host.
        description: what the API is for, in CommonMark.
        servers: URLs the API is reached at; empty is where the document came from.
        page: serve the page at ``/docs`` too.
        open: serve document and page without authentication: to everybody who reaches them.
            A browser sends no token when it opens a page.
    """

    prefix: Annotated[str, Meta(pattern=r"^(/[^/{}]+)*$")] = ""
    title: str = ""
    version: str = "1"
    description: str = ""
    servers: tuple[str, ...] = ()
    page: bool = True
    open: bool = False
