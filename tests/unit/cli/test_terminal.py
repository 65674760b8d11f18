"""What is printed cannot control the terminal, whatever a dataset's names hold."""

from __future__ import annotations

import io
import sys

import pytest

from thalbids.cli.terminal import Escaped, escaped


def test_control_characters_and_what_the_encoding_lacks_are_spelled_out() -> None:
    raw = io.BytesIO()
    stream = Escaped(io.TextIOWrapper(raw, encoding="ascii", newline=""))
    stream.write("a\x1b[2J\té\n")
    stream.flush()
    assert raw.getvalue() == b"a\\x1b[2J\t\\xe9\n"


def test_only_within_and_also_after_an_error() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="x"), escaped():
        assert isinstance(sys.stdout, Escaped) and sys.stderr.unescaped is before[1]  # type: ignore[attr-defined]
        raise ValueError("x")
    assert (sys.stdout, sys.stderr) == before
