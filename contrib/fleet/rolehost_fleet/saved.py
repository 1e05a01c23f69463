"""Manifests of several deployments in one file, as ``rolehost fleet manifest`` writes it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rolehost.composition.manifest import FORMAT, Manifest


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file; ``format`` is that of the manifests in it."""

    format: int = FORMAT
    deployments: tuple[Manifest, ...]


def encode_all(manifests: Iterable[Manifest]) -> str:
    """Return the text of a file, the same for the same manifests."""
    saved = Saved(deployments=tuple(sorted(manifests, key=lambda each: each.deployment)))
    data = msgspec.json.encode(saved, order="deterministic")
    return msgspec.json.format(data, indent=1).decode() + "\n"


def decode_all(text: str) -> tuple[Manifest, ...]:
    """Read such a file.

    Raises:
        ValueError: it is none, or of another layout.
    """
    try:
        saved = msgspec.json.decode(text, type=Saved)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no file of manifests: {error}") from None
    for layout in (saved.format, *(manifest.format for manifest in saved.deployments)):
        if layout != FORMAT:
            raise ValueError(f"manifests of layout {layout}; this host reads {FORMAT}")
    return saved.deployments
