"""Every dataset of bids-examples (https://github.com/bids-standard/bids-examples, commit ca54a02e), planned.

The counts are those of folders ``anat/`` that hold a T1w, UNIT1, FLAIR, R1map, T1map or T2w, counted with ``find``.
``git clone`` it and name the folder in THALBIDS_BIDS_EXAMPLES; the images in it are empty, and a plan says so.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from thalbids.cli.main import main

ROOT = Path(os.environ.get("THALBIDS_BIDS_EXAMPLES", "bids-examples"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not ROOT.is_dir(), reason="no bids-examples: set THALBIDS_BIDS_EXAMPLES"),
]
SESSIONS = {
    "2d_mb_pcasl": 1, "7t_trt": 22, "asl001": 1, "asl002": 1, "asl003": 1, "asl004": 1, "asl005": 1, "ds000117": 16,
    "ds000246": 1, "ds000247": 5, "ds000248": 1, "ds001": 16, "ds002": 17, "ds003": 13, "ds004332": 2, "ds005": 16,
    "ds006": 28, "ds007": 20, "ds008": 15, "ds009": 24, "ds011": 14, "ds051": 13, "ds052": 13, "ds101": 21,
    "ds102": 26, "ds105": 6, "ds107": 49, "ds108": 34, "ds109": 36, "ds110": 18, "ds114": 20, "ds116": 17,
    "eeg_ds000117": 16, "eeg_rest_fmri": 3, "eyetracking_fmri": 1, "genetics_ukbb": 14, "hcp_example_bids": 1,
    "ieeg_epilepsy": 2, "ieeg_epilepsyNWB": 2, "ieeg_epilepsy_ecog": 3, "ieeg_visual": 2, "ieeg_visual_multimodal": 2,
    "mrs_2dmrsi": 8, "mrs_biggaba": 12, "mrs_fmrs": 15, "pet001": 1, "pet002": 4, "pet003": 1, "pet005": 2,
    "pheno004": 2, "qmri_qsm": 1, "synthetic": 10, "xeeg_hed_score": 1,
}  # fmt: skip
BROKEN = {"atlas-4S": 1, "ds000001-fmriprep": 4, "mri_chunk": 1}  # derivatives and pieces of images alone
OTHERS = {"qmri_mp2rage"}  # whether its UNIT1 counts as a T1w is decided where images are chosen


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in ROOT.glob("*/dataset_description.json")) if ROOT.is_dir() else []
)
def test_the_plan_counts_right(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name in OTHERS:
        pytest.skip("see tests of the images that stand in for a T1w")
    code = main([str(ROOT / name), str(tmp_path / "out"), "participant", "--dry-run"])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out
    counts = re.search(r"^(\d+) sessions?, (\d+) of them cannot be processed", shown.out, re.MULTILINE)
    if name in SESSIONS:
        assert code == 0
        assert counts and (int(counts[1]), int(counts[2])) == (SESSIONS[name], 0)
    elif name in BROKEN:
        assert code == 66
        assert counts and int(counts[1]) == int(counts[2]) == BROKEN[name]
    else:
        assert code == 66
        assert "no session holds an image that thalbids uses" in shown.err or "no sub-* folder" in shown.err
