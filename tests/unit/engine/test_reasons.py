"""Reasons of failures stand in tables and pages: they must not tell of the machine."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import pytest

from thalbids import errors
from thalbids.engine.execute import describe, execute
from thalbids.engine.step import Done, Step
from thalbids.errors import own_names, without_folders
from thalbids.methods.tools import told
from thalbids.participant.step_io import refuse
from thalbids.tools.runner import ToolError


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


def test_a_reason_names_files_by_their_place_in_the_output_folder_or_by_name_alone(tmp_path: Path) -> None:
    step = Step("x", "sub-01", refuse, {"T1w": Path("/data/raw/sub-01/T1w.nii.gz")}, {"o": tmp_path / "o.tsv"})
    said = f"of /data/raw/sub-01/T1w.nii.gz: see {tmp_path}/logs/a.txt, /tmp/thalbids-x1/work/first.log"
    error = ToolError(said, path=Path("/home/jane/fs/sub-01/scripts/recon-all.log"))
    assert describe(error, step, tmp_path) == "recon-all.log: of T1w.nii.gz: see logs/a.txt, first.log"


def test_a_permission_is_told_with_what_to_do_and_without_traceback(tmp_path: Path) -> None:
    def denied(inputs: object, outputs: object, params: object, upstream: object) -> Done:
        raise PermissionError(13, "Permission denied", str(tmp_path / "sub-01.html"))

    step = Step("x", "sub-01", denied, {}, {"o": tmp_path / "o.tsv"})
    outcome = execute(step, tmp_path, "f", {}, {})
    assert outcome.status == "failed" and outcome.traceback == ""
    assert outcome.reason.startswith("sub-01.html: Permission denied. Give yourself the right to write")
    said = describe(PermissionError(13, "Permission denied", "/data/raw/x.nii"), step, tmp_path)
    assert said == "x.nii: Permission denied. Ask for the right to use it, then start the same command again."


def test_options_in_sidecars_name_files_by_their_content(tmp_path: Path) -> None:
    expert = tmp_path / "my expert.opts"
    expert.write_text("mri_watershed -h 20\n")
    before = told(["-expert", str(expert), "-xopts-use"])
    assert before[0::2] == ["-expert", "-xopts-use"]
    assert before[1].startswith("my expert.opts (SHA-256 ") and str(tmp_path) not in before[1]
    expert.write_text("mri_watershed -h 30\n")
    assert told(["-expert", str(expert), "-xopts-use"]) != before
    assert told(["--mask=/home/jane/mask.nii"]) == ["--mask=mask.nii"]
