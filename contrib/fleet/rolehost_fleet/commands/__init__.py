"""Commands of this distribution, by name; the group ``rolehost.commands`` names this module."""

#: Name → (``module:attribute``, one line for the help).
COMMANDS = {
    "asyncapi": (
        "rolehost_fleet.commands.asyncapi:asyncapi",
        "Print the AsyncAPI document of the events of deployments.",
    ),
    "doctor": (
        "rolehost_fleet.commands.doctor:doctor",
        "Check whether a deployment can run here.",
    ),
    "fleet": (
        "rolehost_fleet.commands.fleet:fleet",
        "Check, draw, compare and watch deployments that run together.",
    ),
    "why": (
        "rolehost_fleet.commands.why:why",
        "Explain where something comes from, or why it is off.",
    ),
}
