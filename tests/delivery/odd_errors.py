"""Exceptions that break careless formatting code: name → factory."""

from __future__ import annotations

import asyncio
import sys


class Unsayable(Exception):
    def __str__(self):
        return self.detail  # never set


class Exits(Exception):
    def __str__(self):
        raise SystemExit(3)


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Anonymous(Exception, metaclass=Nameless):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class NotText(Exception):
    def __str__(self):
        return 7


class Notes(Exception):
    @property
    def __notes__(self):
        raise ValueError("no notes")


def long_chain():
    error = ValueError("first")
    for number in range(5000):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    return error


def circle():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def deep_group():
    error: Exception = ValueError("inside")
    for _ in range(2000):
        error = ExceptionGroup("g", [error])
    return error


def deep_trace():
    def fall(depth):
        if depth:
            fall(depth - 1)
        raise ValueError("deep")

    try:
        fall(sys.getrecursionlimit() // 3)
    except ValueError as error:
        return error


class Own(BaseException):
    pass


ODD = {
    "text raises": Unsayable,
    "text ends the process": Exits,
    "no name and no class": Anonymous,
    "text is none": NotText,
    "notes raise": Notes,
    "a long chain": long_chain,
    "a circle": circle,
    "a deep group": deep_group,
    "a deep traceback": deep_trace,
    "megabytes": lambda: ValueError("x" * 5_000_000),
    "NUL": lambda: ValueError("a\0b"),
    "half a surrogate pair": lambda: ValueError("\ud800"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "a BaseException of its own": Own,
    "a group of them": lambda: BaseExceptionGroup("g", [SystemExit(1), Unsayable()]),
}
