"""The records that travel between layers."""

from __future__ import annotations

from thalbids.types import Session, tool_entry


def test_a_program_is_named_with_version_and_address() -> None:
    assert tool_entry("FSL 6.0.7") == {"Name": "FSL", "Version": "6.0.7", "CodeURL": "https://git.fmrib.ox.ac.uk/fsl"}
    assert tool_entry("antspyx 0.6.3")["Name"] == "ANTsPy"
    assert tool_entry("Other 1.0 beta") == {"Name": "Other", "Version": "1.0 beta"}
    assert tool_entry("Other") == {"Name": "Other"}


def test_a_session_is_named_with_and_without_a_session_level() -> None:
    assert Session("01", "2", {}).name == "sub-01_ses-2"
    assert Session("01", None, {}).name == "sub-01"
