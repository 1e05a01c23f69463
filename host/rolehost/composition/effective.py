"""The settings as they take effect: every key with its value and where it was set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rolehost.composition.model import Composition
from rolehost.deployment import HOST_SECTIONS, Origin


class Effective(NamedTuple):
    """One setting.

    Attributes:
        key: section and key, ``http.bind``; of a plugin, its name and key.
        value: decoded; may hold secrets.
        origin: where it was set.
    """

    key: str
    value: Any
    origin: Origin


def effective(composition: Composition) -> Iterator[Effective]:
    """Yield every setting of the host and of enabled plugins, defaults included."""
    origins = composition.deployment.origins
    yield Effective(
        "plugins",
        list(composition.deployment.plugins),
        origins.get("plugins", Origin("default")),
    )
    for name, word in composition.deployment.on_failure.items():
        key = f"on_failure.{name}"
        yield Effective(key, word, origins.get(key, Origin("default")))
    sections = [(name, getattr(composition.deployment.host, name)) for name in HOST_SECTIONS]
    sections += [
        (plugin.name, plugin.settings)
        for plugin in composition.plugins
        if plugin.settings is not None
    ]
    for section, decoded in sections:
        # PERF: not msgspec's own list of fields, which looks up every type anew.
        names = zip(decoded.__struct_encode_fields__, decoded.__struct_fields__, strict=True)
        for written, name in names:
            key = f"{section}.{written}"
            yield Effective(key, getattr(decoded, name), origins[key])
