"""``thalbids doctor``: what it finds with nothing there, and with everything there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import checkpoints, standins
from thalbids.cli.main import main


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No tool on the PATH, no variable of one, empty caches."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("FSLDIR", "FREESURFER_HOME", "FS_LICENSE", "MODEL_PATH", "SUBJECTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    return tmp_path


def findings(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    assert main(["doctor", "--json", *words]) == 0
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_with_nothing_the_embedded_method_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert all(found[name]["ok"] for name in ("SynThal weights", "ANTs", "OpenVINO", "Python"))
    for name in ("FIRST", "FLIRT", "SIENA", "recon-all", "licence", "existing results", "DBSegment", "checkpoint",
                 "MNI152NLin2009cAsym", "docker", "apptainer", "pandoc"):  # fmt: skip
        assert not found[name]["ok"], name
        assert found[name]["problem"] and found[name]["enables"] and found[name]["mend"], name
    assert found["checkpoint"]["mend"] == "thalbids fetch mindglide"


def test_the_table_says_how_to_get_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 96  # paths are not broken
    assert "  ok       SynThal weights" in text and "  missing  FIRST" in text
    assert "get it: thalbids fetch mindglide" in text
    assert text.count("not fetched.") == 1  # a reason is said once
    assert "licence: free for non-commercial use only" in text


def test_what_is_there_is_told_with_its_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in standins.MODES:
        standins.install(tmp_path / "bin", tool)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path))
    (tmp_path / "license.txt").write_text("x")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "fslversion").write_text("6.0.7.4:abc\n")
    (tmp_path / "model.pt").write_text("x")
    (tmp_path / "models").mkdir()
    config = tmp_path / "settings.toml"
    own = '[tools.mindglide]\ncheckpoint = "model.pt"\n'
    config.write_text(own + 'engine = "upstream"\n[tools.dbsegment]\nmodels = "models"\n')
    found = findings(capsys, "--config", str(config), "--fs-subjects-dir", str(tmp_path))
    for name, version in (
        ("FIRST", "FSL 6.0.7.4"),
        ("recon-all", "FreeSurfer 7.4.1"),
        ("mindglide", "MindGlide 1.3.0"),
    ):
        assert found[name]["ok"] and found[name]["version"] == version
    assert found["checkpoint"]["ok"] and found["licence"]["ok"] and found["existing results"]["ok"]
    assert "folds 4, 6 are not in" in str(found["DBSegment"]["problem"])
    config.write_text(own)  # computed by thalbids itself: that file is no checkpoint
    found = findings(capsys, "--config", str(config))
    assert "mindglide" not in found and found["engine"]["version"] == "MindGlide 1.3.0, engine of thalbids 2"
    assert "cannot be read" in str(found["checkpoint"]["problem"])
    checkpoints.mindglide_layout(tmp_path / "model.pt")
    assert findings(capsys, "--config", str(config))["checkpoint"]["ok"]
