"""Importing one plugin, and saying where it broke when it does."""

from __future__ import annotations

import functools
import importlib
import traceback
from typing import Any

from rolehost.discovery.watching import Overdue
from rolehost.errors import ConfigurationError, Problem


def load(target: str, *, who: str, name: str) -> Any:
    """Import what an entry point names.

    Args:
        target: ``module`` or ``module:attribute``.
        who: plugin, distribution and version, for messages.
        name: the plugin's name, for messages.

    Raises:
        ConfigurationError: importing raised, whatever it was but an interrupt from the
            keyboard; or the attribute is missing.
        Overdue: interrupted, see :func:`~rolehost.discovery.watching.bounded_here`.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name.strip())
    except (KeyboardInterrupt, Overdue):
        raise
    except BaseException as error:
        raise ConfigurationError([_import_problem(error, target, who, name)]) from error
    if not attribute:
        return module
    try:
        return functools.reduce(getattr, attribute.strip().split("."), module)
    except AttributeError as error:
        problem = Problem(
            code="plugin-target",
            who=who,
            where=f"entry point {name} = {target}",
            what=f"the module {module_name} has no attribute {attribute}",
            expected="an entry point that names a module, or an object of a module",
            got=str(error),
            fix="correct the entry point in the distribution's metadata and install it again",
        )
        raise ConfigurationError([problem]) from error


def _import_problem(error: BaseException, target: str, who: str, name: str) -> Problem:
    if isinstance(error, ModuleNotFoundError) and error.name:
        fix = f"install what brings the module {error.name}, or take {name} out of plugins"
    else:
        fix = f"mend the line above, or take {name} out of plugins"
    return Problem(
        code="plugin-import",
        who=who,
        where=_chain(error) or f"entry point {name} = {target}",
        what=f"importing {target.partition(':')[0]} raised {type(error).__name__}",
        expected="a module that imports without error and without doing anything",
        got=traceback.format_exception_only(error)[-1].strip(),
        fix=fix,
    )


def _chain(error: BaseException) -> str:
    """Return the lines that imported each other, the one that raised last."""
    sites = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and frame.filename not in (__file__, importlib.__file__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        sites.append(f"{error.filename}:{error.lineno}")
    return " -> ".join(sites)
