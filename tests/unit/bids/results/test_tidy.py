"""``thalbids.read_volumes``: one row per participant, session and method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import thalbids
from tests.cohort import morph_path, morph_row, write_rows
from thalbids.errors import NoInputError
from thalbids.files import write_json


def test_one_row_per_participant_session_and_method(tmp_path: Path) -> None:
    for person, session, volume in (("sub-10", "ses-1", 9000), ("sub-9", "ses-2", 11000), ("sub-9", "ses-1", 12000)):
        rows = [morph_row("synthalT1w", volume, 0.6 * volume, 0.4 * volume),
                morph_row("first", None, status="failed", reason="no program")]  # fmt: skip
        write_rows(morph_path(tmp_path, person, session), rows)
    folder = morph_path(tmp_path, "sub-9", "ses-1").parent
    icv = [{"source": "freesurfer", "icv_mm3": 9e5, "status": "excluded"}, {"source": "synthal", "icv_mm3": 1.5e6}]
    write_rows(folder / "sub-9_ses-1_desc-icv_morph.tsv", [{"status": "ok", **row} for row in icv])
    mask = {"family": "synthal", "status": "ok", "trusted": False, "flags": [], "measures": None}
    document = {"Flags": [], "Registrations": [], "ICV": [], "Masks": {"synthalT1w": mask}, "Brain": None}
    write_json(folder / "sub-9_ses-1_desc-thalamus_qc.json", document)
    table = thalbids.read_volumes(tmp_path)
    assert list(zip(table.participant_id, table.session_id, strict=True))[::2] == [
        ("sub-9", "ses-1"), ("sub-9", "ses-2"), ("sub-10", "ses-1")
    ]  # fmt: skip
    one = table.iloc[0]
    assert (one.method, one.image, one.volume_ml, one.volume_left_ml, one.icv_ml, one.icv_source, one.trusted) == (
        "synthalT1w", "T1w", 12.0, 7.2, 1500.0, "synthal", False
    )  # fmt: skip
    failed = table.iloc[1]
    assert np.isnan(failed.volume_ml) and (failed.status, failed.reason) == ("failed", "no program")
    assert table.iloc[2].trusted is None and np.isnan(table.iloc[2].icv_ml)
    assert set(thalbids.read_volumes(tmp_path, ["sub-9"], ["2"]).session_id) == {"ses-2"}


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no thalamus volumes"):
        thalbids.read_volumes(tmp_path)
    with pytest.raises(NoInputError, match="not there"):
        thalbids.read_volumes(tmp_path / "none")
