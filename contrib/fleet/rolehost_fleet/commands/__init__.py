"""Commands of this distribution, by name; the group ``rolehost.commands`` names this module."""

#: Name → (``module:attribute``, one line for the help).
COMMANDS = {
    "asyncapi": (
        "rolehost_fleet.commands.asyncapi:asyncapi",
        "Print the AsyncAPI document of deployments' events.",
    ),
    "doctor": (
        "rolehost_fleet.commands.doctor:doctor",
        "Look whether a deployment can run here.",
    ),
    "fleet": (
        "rolehost_fleet.commands.fleet:fleet",
        "Check, draw and watch deployments that run together.",
    ),
    "why": (
        "rolehost_fleet.commands.why:why",
        "Say who gives something, or why it is off.",
    ),
}
