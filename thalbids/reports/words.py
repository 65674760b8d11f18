"""Words that pages and the methods paragraph share."""

from __future__ import annotations

from collections.abc import Sequence


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as people list them.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    words = list(words)
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
