"""How a step that fails is told."""

from __future__ import annotations

from pathlib import Path

from thalbids.engine.execute import describe, execute
from thalbids.engine.step import Done, Step
from thalbids.participant.step_io import refuse
from thalbids.tools.runner import ToolError


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
