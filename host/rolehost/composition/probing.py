"""Looking into one plugin by itself: what it would give, or why it is broken."""

from __future__ import annotations

from dataclasses import dataclass

from rolehost.api.contributions import PluginInfo
from rolehost.composition import metrics
from rolehost.composition.declare import Contributions, declare, hooks_for
from rolehost.composition.report import Report
from rolehost.composition.sections import settings_of
from rolehost.composition.selection import Selection
from rolehost.deployment.model import Deployment
from rolehost.discovery import Found
from rolehost.errors import Problem


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen in one plugin.

    Attributes:
        found: the plugin.
        info: what it says of itself; None when it could not be loaded.
        contributions: what it would give with the deployment's settings.
        problems: why it is broken; empty when it is not.
    """

    found: Found
    info: PluginInfo | None
    contributions: Contributions
    problems: tuple[Problem, ...]


def probe(deployment: Deployment, found: Found) -> Probe:
    """Import one installed plugin and let it declare, whether it is enabled or not.

    Args:
        deployment: whose settings it is given.
        found: the plugin, as :func:`rolehost.discovery.installed` returns it.
    """
    report = Report(deployment)
    contributions = Contributions()
    loaded = Selection(report, {}).introduce(found)
    if loaded is None:
        return Probe(found, None, contributions, report.sorted())
    settings, fits = settings_of(loaded, report)
    if fits:
        declare(loaded, settings, hooks_for(None), report, contributions, {})
        metrics.collect(loaded, report, contributions)
    return Probe(found, loaded.info, contributions, report.sorted())
