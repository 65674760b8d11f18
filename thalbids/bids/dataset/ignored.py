"""``.bidsignore``: which files the validator is told to overlook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from thalbids.errors import MetadataError
from thalbids.files import read_text


@dataclass(frozen=True)
class Ignored:
    """The patterns of a ``.bidsignore``, which has the syntax of ``.gitignore``; the last that fits decides."""

    patterns: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @classmethod
    def of(cls, text: str) -> Ignored:
        r"""The patterns of a text.

        Examples
        --------
        >>> ignored = Ignored.of("extra/ \n*_FLAIR.nii.gz\n!sub-01/**")
        >>> ignored.names("sub-02/anat/sub-02_FLAIR.nii.gz"), ignored.names("sub-01/anat/sub-01_FLAIR.nii.gz")
        (True, False)
        """
        lines = [line.strip() for line in text.split("\n")]
        return cls(tuple((not line.startswith("!"), _pattern(line.removeprefix("!")))
                         for line in lines if line and not line.startswith("#")))  # fmt: skip

    def names(self, inside: str) -> bool:
        """Whether a file is named, by its path inside the dataset."""
        named = False
        for adds, pattern in self.patterns:
            if pattern.fullmatch(inside):
                named = adds
        return named


def ignored(root: Path) -> Ignored:
    """The ``.bidsignore`` of a dataset; one that is not there or cannot be read names nothing."""
    try:
        return Ignored.of(read_text(root / ".bidsignore"))
    except MetadataError:
        return Ignored()


def _pattern(line: str) -> re.Pattern[str]:
    """A pattern as a regular expression for a path without a slash at its start, or for anything below it."""
    anchored = "/" in line.rstrip("/")
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", line.strip("/"))
    spelled = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(spelled.get(part) or re.escape(part) for part in parts)
    return re.compile(("" if anchored else r"(?:.*/)?") + text + r"(?:/.*)?")
