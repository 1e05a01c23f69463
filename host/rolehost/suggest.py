"""``Did you mean …?`` for names that are not known."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the known name nearest to ``name``, or empty text."""
    import difflib

    names = {candidate.casefold(): candidate for candidate in known}
    # One exchanged pair of letters costs a short name a third of its likeness.
    cutoff = 0.6 if len(name) <= 4 else 0.7
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)
    return f'did you mean "{names[near[0]]}"?' if near else ""


def one_of(known: Iterable[str]) -> str:
    """Return the known names, sorted, as one readable text; ``none`` when there are none."""
    return ", ".join(sorted(known)) or "none"
