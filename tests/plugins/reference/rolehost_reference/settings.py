"""The settings section ``[reference]``."""

from __future__ import annotations

from pathlib import Path

from rolehost.api import Secret, Settings


class ReferenceSettings(Settings, frozen=True):
    """``[reference]``.

    Attributes:
        journal: file to which each process writes a line when it starts, drains and stops.
        signature: sent with every response; here to show a secret setting.
    """

    journal: Path
    signature: Secret = Secret("unsigned")
