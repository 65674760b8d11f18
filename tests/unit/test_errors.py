"""Errors tell where, what and what to do; texts that go into results name neither machine nor user."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from thalbids import errors


def test_an_error_says_file_problem_and_remedy_and_survives_a_worker() -> None:
    error = errors.ImageError("is damaged.", "Copy it again.", "/data/x.nii")
    assert str(error) == "/data/x.nii: is damaged. Copy it again."
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.problem, again.mend, again.path) == (
        errors.ImageError,
        *error.args[:2],
        Path("/data/x.nii"),
    )
    assert str(errors.UsageError("wrong.")) == "wrong."


def test_exit_codes_are_those_of_sysexits() -> None:
    codes = {
        kind.__name__: kind.exit_code
        for kind in errors.ThalbidsError.__subclasses__()
        if "thalbids.errors" in kind.__module__
    }
    assert codes == {
        "UsageError": 2, "NoInputError": 66, "MissingToolError": 69, "ImageError": 1, "MetadataError": 1,
        "OutputError": 1, "RegistrationError": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("read /home/jane/fs/sub-01/recon-all.log twice", "read recon-all.log twice"),
        ("'/data/Jane Doe/T1.nii'", "'T1.nii'"),
        ("file:///data/x/y.nii", "y.nii"),
        ("T1/T2 in 1/s", "T1/T2 in 1/s"),
    ],
)
def test_paths_lose_their_folders(text: str, left: str) -> None:
    assert errors.without_folders(text) == left


def test_what_controls_a_terminal_is_spelled_out() -> None:
    assert errors.printable("a\tb\n\x1b[2J\u202e") == "a\tb\n\\x1b[2J\\u202e"
