"""Failpoints of a real process: armed by its environment, and never in production."""

from __future__ import annotations

import os

import structlog

from rolehost import failpoints
from rolehost.deployment.model import Deployment
from rolehost.errors import ConfigurationError, Problem

log = structlog.get_logger(__name__)


def arm_failpoints(deployment: Deployment) -> None:
    """Arm what ``ROLEHOST_FAIL`` says; nothing when it is unset or empty.

    Raises:
        ConfigurationError: it names what there is not, or the deployment is one of production:
            a switch that kills processes must not come there by a forgotten variable.
    """
    text = os.environ.get(failpoints.VARIABLE, "").strip()
    if not text:
        return
    name = deployment.name
    if deployment.host.deployment.environment == "production":
        raise ConfigurationError(
            [
                _problem(
                    name,
                    code="failpoints-in-production",
                    what="failpoints are to be armed in production",
                    expected=f"no {failpoints.VARIABLE} where environment is production",
                    got=text,
                    fix=f"unset {failpoints.VARIABLE}, or set [deployment] environment = 'test'"
                    " if this is no production",
                )
            ]
        )
    try:
        failpoints.arm_from(text)
    except failpoints.UnknownFailpoint as error:
        raise ConfigurationError(
            [
                _problem(
                    name,
                    code="failpoint",
                    what=str(error),
                    expected="POINT:ACTION or POINT:ACTION@PROBABILITY, separated by commas",
                    got=text,
                    fix="rolehost failpoints lists the points and what each can do",
                )
            ]
        ) from None
    log.warning("failpoints are armed, this process may fail on purpose", armed=text)


def _problem(deployment: str, **words: str) -> Problem:
    where = f"environment {failpoints.VARIABLE}"
    return Problem(who=f"deployment {deployment}", where=where, **words)
