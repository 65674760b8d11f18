"""Labels that nearly match: ``sub-1`` and ``sub-01`` are two people for BIDS, and one for whoever typed the table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from thalbids.bids.tabular.counting import natural
from thalbids.errors import some


def alike(label: str) -> str:
    """What labels that nearly match share: no case, blanks, hyphens, underscores, leading zeros, prefix, no ``.0``.

    Examples
    --------
    >>> alike("sub-P_001") == alike("sub-p1"), alike("SUB01") == alike("sub-1"), alike("ses-10") == alike("ses-1")
    (True, True, False)
    """
    bare = re.sub(r"^(?:(?:sub|ses)(?:[\s_\-]+|(?=\d)))+", "", label.strip(), flags=re.IGNORECASE)
    whole = re.sub(r"(?<=\d)\.0+$", "", bare)  # spreadsheets and pandas make a number of a label
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_\-]+", "", whole)).casefold()


def partners(unknown: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Labels that are not known -> the known label that they nearly match, in natural order; the others are absent."""
    by_key: dict[str, list[str]] = {}
    for label in known:
        by_key.setdefault(alike(label), []).append(label)
    pairs = {label: by_key[alike(label)] for label in sorted(unknown, key=natural) if label not in known
             and alike(label) in by_key}  # fmt: skip
    return {label: " or ".join(sorted(names, key=natural)) for label, names in pairs.items()}


def told(pairs: Mapping[str, str], here: str, there: str, most: int = 5) -> str:
    """Partners as a sentence; ``here`` and ``there`` say in words where the two kinds of labels stand."""
    named = some([f"{label} for {partner}" for label, partner in pairs.items()], most)
    return f"{here} nearly match {there}, and count as others: {named}. Write them alike."


def with_prefix(label: str | None, prefix: str) -> str:
    """``sub-01`` for ``01`` and for ``sub-01``; "" for nothing."""
    text = (label or "").strip()
    return text if not text or text.startswith(prefix) else prefix + text
