"""Calls ephemeral actors: arguments in, and out of it nothing or an exception that can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rolehost.api.contributions import Actor
from rolehost.api.retries import Dead, Retry, Snooze
from rolehost.api.services import Services
from rolehost.delivery.arguments import Signature
from rolehost.delivery.failures import harmless
from rolehost.delivery.forks import contained
from rolehost.failpoints import Crash


def call(
    actor: Actor,
    signature: Signature,
    services: Services,
    arguments: Mapping[str, Any],
    interrupts: tuple[type[BaseException], ...] = (),
) -> None:
    """Run an ephemeral actor once.

    Args:
        actor: the actor.
        signature: its own.
        services: handed to it.
        arguments: in JSON's own types.
        interrupts: exception types that are passed on as they are, whatever they contain.

    Raises:
        PayloadError: the arguments do not fit.
        Exception: the attempt failed. What the actor raised, or a description of it if that
            cannot be logged or stored with the message.
    """
    try:
        outcome = contained(actor.fn, services, **signature.convert(arguments))
        if isinstance(outcome, Retry | Snooze | Dead):
            raise TypeError(
                f"the ephemeral actor {actor.name} returned {type(outcome).__name__}; outcomes are"
                " for durable actors: raise an exception, or make the actor durable"
            )
    except BaseException as error:  # an actor may raise anything, even SystemExit
        if issubclass(type(error), (Crash, *interrupts)):
            raise
        kept = harmless(error)
        if kept is error:
            raise
        raise kept from None
