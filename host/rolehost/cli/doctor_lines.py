"""What ``rolehost doctor`` says: one line for each thing that was looked at."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "fail"]


class Line(NamedTuple):
    """One thing that was looked at.

    Attributes:
        level: ``fail``: it will not work; ``warn``: it will, and is worth a look.
        subject: what, in one or two words.
        text: what was found.
        fix: what to do about it; empty when it is well.
    """

    level: Level
    subject: str
    text: str
    fix: str = ""


def ok(subject: str, text: str) -> Line:
    """Say that something is well."""
    return Line("ok", subject, text)


def warn(subject: str, text: str, fix: str) -> Line:
    """Say that something is worth a look."""
    return Line("warn", subject, text, fix)


def fail(subject: str, text: str, fix: str) -> Line:
    """Say that something will not work."""
    return Line("fail", subject, text, fix)
