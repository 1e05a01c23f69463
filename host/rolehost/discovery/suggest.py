"""Moved to :mod:`rolehost.suggest`."""

from rolehost.suggest import did_you_mean, one_of

__all__ = ["did_you_mean", "one_of"]
