"""The file of ``rolehost fleet manifest``: manifests of several deployments."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rolehost.composition.manifest import FORMAT, Manifest


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file; ``format`` is the format of its manifests."""

    format: int = FORMAT
    deployments: tuple[Manifest, ...]


def encode_all(manifests: Iterable[Manifest]) -> str:
    """Return the text of a file; the same manifests always give the same text."""
    saved = Saved(deployments=tuple(sorted(manifests, key=lambda each: each.deployment)))
    data = msgspec.json.encode(saved, order="deterministic")
    return msgspec.json.format(data, indent=1).decode() + "\n"


def decode_all(text: str) -> tuple[Manifest, ...]:
    """Return the manifests in the text of a file.

    Raises:
        ValueError: the text does not contain manifests, or they have another format.
    """
    try:
        saved = msgspec.json.decode(text, type=Saved)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a file of manifests: {error}") from None
    for layout in (saved.format, *(manifest.format for manifest in saved.deployments)):
        if layout != FORMAT:
            raise ValueError(f"manifests of format {layout}; this host reads format {FORMAT}")
    return saved.deployments
