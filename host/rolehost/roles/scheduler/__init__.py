"""The role ``scheduler``: ticks of the schedules, by one leader of the fleet."""

from rolehost.roles.scheduler.loop import run

__all__ = ["run"]
