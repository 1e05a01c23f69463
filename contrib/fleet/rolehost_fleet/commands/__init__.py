"""Commands of this distribution, by name; the group ``rolehost.commands`` names this module."""

#: Name → (``module:attribute``, one line for the help).
COMMANDS = {
    "asyncapi": (
        "rolehost_fleet.commands.asyncapi:asyncapi",
        "Print the AsyncAPI document of deployments' events.",
    ),
    "fleet": (
        "rolehost_fleet.commands.fleet:fleet",
        "Check, draw and watch deployments that run together.",
    ),
}
