"""Several deployments that run together: composed each, then checked against each other.

Nothing is connected to: a fleet is made of files and of what plugins declare.
"""

from rolehost_fleet.loading import examine, load
from rolehost_fleet.model import Fleet, FleetMember

__all__ = ["Fleet", "FleetMember", "examine", "load"]
