"""Commands of this distribution, by name; the group ``rolehost.commands`` names this module."""

#: Name → (``module:attribute``, one line for the help).
COMMANDS = {
    "dead": (
        "rolehost_control.commands.dead:dead",
        "List, show, replay and discard dead letters.",
    ),
    "jobs": ("rolehost_control.commands.jobs:jobs", "List, show, retry and cancel jobs."),
    "limits": ("rolehost_control.commands.limits:limits", "List, set and reset limits of jobs."),
    "schedules": (
        "rolehost_control.commands.schedules:schedules",
        "List, pause, change and run schedules.",
    ),
}
