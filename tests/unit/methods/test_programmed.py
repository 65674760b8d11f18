"""What methods of other programs share."""

from __future__ import annotations

from pathlib import Path

from thalbids.methods.programmed import told


def test_options_in_sidecars_name_files_by_their_content(tmp_path: Path) -> None:
    expert = tmp_path / "my expert.opts"
    expert.write_text("mri_watershed -h 20\n")
    before = told(["-expert", str(expert), "-xopts-use"])
    assert before[0::2] == ["-expert", "-xopts-use"]
    assert before[1].startswith("my expert.opts (SHA-256 ") and str(tmp_path) not in before[1]
    expert.write_text("mri_watershed -h 30\n")
    assert told(["-expert", str(expert), "-xopts-use"]) != before
    assert told(["--mask=/home/jane/mask.nii"]) == ["--mask=mask.nii"]
