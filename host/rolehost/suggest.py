"""``Did you mean …?`` for names that are not known."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the known name nearest to ``name``, or empty text."""
    import difflib

    names = {candidate.casefold(): candidate for candidate in known}
    # In a short name, two swapped letters lower the similarity ratio by a third.
    cutoff = 0.6 if len(name) <= 4 else 0.7
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)
    return f'did you mean "{names[near[0]]}"?' if near else ""


def one_of(known: Iterable[str]) -> str:
    """Return the known names, sorted, as one readable text; ``none`` if the list is empty."""
    return ", ".join(sorted(known)) or "none"
