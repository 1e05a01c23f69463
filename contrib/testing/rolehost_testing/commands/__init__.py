"""Commands of this distribution, by name; the group ``rolehost.commands`` names this module."""

#: Name → (``module:attribute``, one line for the help).
COMMANDS = {
    "failpoints": (
        "rolehost_testing.commands.failpoints:failpoints",
        "List the points at which tests make a process fail.",
    ),
    "new": (
        "rolehost_testing.commands.new:new",
        "Create a plugin, a storage backend or a deployment.",
    ),
    "plugins grade": (
        "rolehost_testing.commands.grade:grade_plugins",
        "Grade the quality of installed plugins.",
    ),
}
