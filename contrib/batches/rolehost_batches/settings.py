"""The settings section of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings


class BatchSettings(Settings, frozen=True):
    """``[batches]``.

    Attributes:
        sweep: seconds between two looks for jobs of batches that ended without success: dead,
            cancelled or expired. A batch learns of a success at once.
        keep_days: days for which batches are kept after their end, and progress after its last
            report.
    """

    sweep: Annotated[float, Meta(ge=1)] = 5.0
    keep_days: Annotated[float, Meta(gt=0)] = 14.0
