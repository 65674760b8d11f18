"""Reasons of failures stand in tables and pages: they must not tell of the machine."""

from __future__ import annotations

import getpass
import socket

import pytest

from thalbids import errors
from thalbids.errors import own_names, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see /home/jane/fs/sub-01/recon-all.log, and (/tmp/a/b)", "see recon-all.log, and (b)"),
        ("file:///home/jane/x.nii", "x.nii"),
        ("bids:raw:sub-01/anat/x.nii and https://a.org/b/c in 1/s / mm", None),
        ("sub-01/anat/x.nii", None),
        ("cannot open '/home/Jane Doe/my scans/x.nii' or \"/data/y z.nii\"", "cannot open 'x.nii' or \"y z.nii\""),
        ("Linux node-17.clinic.org; node-17 said: jane.doe@node-17", "Linux (name); (name) said: (name)@(name)"),
    ],
)
def test_absolute_paths_and_own_names_are_cut(text: str, shown: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17.clinic.org")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane.doe")
    monkeypatch.setattr(errors, "own_names", own_names.__wrapped__)
    assert without_folders(text) == (text if shown is None else shown)


def test_names_of_the_container_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "4f1c0b7a9d2e")
    monkeypatch.setattr(getpass, "getuser", lambda: "thalbids")
    monkeypatch.setenv("HOME", "/tmp")  # noqa: S108
    assert own_names.__wrapped__() == ("4f1c0b7a9d2e",)


def test_a_user_without_name_and_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17")
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid not found"])
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert own_names.__wrapped__() == ("node-17",)
