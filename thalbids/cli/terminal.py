"""What is written onto the terminal: text from files, labels and people cannot control it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from thalbids.errors import printable


class Escaped:
    """A text stream that spells out what would control a terminal, and what its encoding cannot say.

    ``unescaped`` is the stream behind it, for what moves the cursor on purpose (progress).
    """

    def __init__(self, stream: TextIO):
        self.unescaped = stream

    def write(self, text: str) -> int:
        """Write a text; newlines and tabs stay."""
        encoding = getattr(self.unescaped, "encoding", None) or "utf-8"
        self.unescaped.write(printable(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)


@contextmanager
def escaped() -> Iterator[None]:
    """Within, everything that this process prints goes through `Escaped`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Escaped(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
