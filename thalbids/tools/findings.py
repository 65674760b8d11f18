"""What ``thalbids doctor`` says of one piece: a program, a licence, a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EMBEDDED = "embedded (no installation needed)"
FSL = "FSL"
FSL_LICENCE = "free for non-commercial use only; look at FSL's licence"


@dataclass(frozen=True)
class Finding:
    """One piece, as it was found.

    Attributes
    ----------
    part : heading under which it stands
    name : the piece
    ok : it can be used
    version, where : what was found
    problem : why it cannot be used
    enables : what it is for
    mend : how to get it
    licence : its licence, where that matters
    """

    part: str
    name: str
    ok: bool
    version: str = ""
    where: str = ""
    problem: str = ""
    enables: str = ""
    mend: str = ""
    licence: str = ""


def of_check(
    part: str, name: str, problem: str, mend: str, where: str, version: Callable[[], str | None], enables: str,
    licence: str,
) -> Finding:  # fmt: skip
    """A finding: the version is asked for only where there is one; advice does not name the command that gives it."""
    shown = where if not problem or Path(where.split(" ")[0]).is_absolute() else ""
    told = (version() or "version unknown") if not problem else ""
    mend = mend.replace("; see: thalbids doctor", ".").replace(" (see: thalbids doctor)", "")
    return Finding(part, name, not problem, told, shown, problem, enables, mend, licence)
