"""Change since the first session: the two masks in one space."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import rotation_matrix
from tests.unit.reports.participant.test_participant_page import Head, Page, box_of
from thalbids.image.io import save_image
from thalbids.reports import SessionReport, write_report


@pytest.fixture
def first(tmp_path: Path) -> Head:
    made = Head(tmp_path / "first", zoom=3.0)
    made.add("synthalT1w")
    made.add("synthalT1FLAIR", radius=12.5)
    return made


def moved(head: Head, folder: Path, matrix: np.ndarray) -> SessionReport:
    """The same person in a scanner that turned the head: every image carries another affine."""
    folder.mkdir()
    session = head.report("2")

    def copy(path: Path) -> Path:
        image = nib.load(path)
        save_image(np.asanyarray(image.dataobj), matrix @ image.affine, folder / path.name)
        return folder / path.name

    masks = [replace(mask, path=copy(mask.path)) for mask in session.masks]
    return replace(session, t1w=copy(session.t1w), brain=copy(session.brain), masks=masks)


def page_of(tmp_path: Path, *sessions: SessionReport) -> tuple[str, Page]:
    text = write_report(tmp_path / "sub-01.html", "01", sessions, {})[0].read_text("utf-8")
    return text, Page(text)


def outline(text: str, key: str) -> np.ndarray:
    """Box (mm) of the outline of a key on the axial slice."""
    return box_of(re.findall(rf"<g class='{key}'><title>[^<]*</title><path d='([^']+)'", text)[0])


MATRIX = rotation_matrix(8, -5, 12) @ np.array([[1, 0, 0, 7], [0, 1, 0, -9], [0, 0, 1, 11], [0, 0, 0, 1.0]])


def test_both_masks_lie_on_each_other_after_the_registration(tmp_path: Path, first: Head):
    """The transform maps the first T1w to the later one, as the step records it."""
    later = replace(
        moved(first, tmp_path / "later", MATRIX),
        alignment={"First": "1", "Chosen": "ants", "Matrix": MATRIX.tolist(), "Reason": ""},
    )
    text, page = page_of(tmp_path, first.report("1"), later)
    assert "brought together by a rigid registration (ants), for this picture only" in page.text
    np.testing.assert_allclose(outline(text, "s1cl"), outline(text, "s1cf"), atol=0.3)
    assert "SynThal T1w + FLAIR in Session 1 and Session 2" in page.text  # the method from the most images
    assert (tmp_path / "sub-01/figures/sub-01_ses-2_desc-change_thalamus.svg").exists()


@pytest.mark.parametrize(
    "alignment",
    [
        None,
        {"First": "1", "Chosen": None, "Matrix": None, "Reason": "misaligned, or another person"},
        {"First": "0", "Chosen": "ants", "Matrix": np.eye(4).tolist(), "Reason": ""},  # to a session that is not shown
    ],
)
def test_without_a_registration_the_sessions_stand_apart(tmp_path: Path, first: Head, alignment):
    later = replace(moved(first, tmp_path / "later", MATRIX), alignment=alignment)
    _, page = page_of(tmp_path, first.report("1"), later)
    assert "were not brought together" in page.text
    assert "do not compare the outlines" in page.text
    if alignment and alignment["Reason"]:
        assert alignment["Reason"] in page.text


def test_a_person_without_a_first_t1w_is_no_error(tmp_path: Path, first: Head):
    _, page = page_of(tmp_path, SessionReport("1"), first.report("2"))
    assert "Change since" not in page.text


@pytest.mark.parametrize("known", [True, False])
def test_sessions_without_t1w_are_called_what_they_are(tmp_path: Path, known: bool) -> None:
    made = Head(tmp_path / "first", zoom=3.0)
    made.add("synthalFLAIR")
    one = replace(made.report(), reference="T2w", registered={"FLAIR": made.path("t1w")})
    two = replace(moved(made, tmp_path / "later", MATRIX), reference="FLAIR")
    if known:
        two = replace(two, alignment={"First": "1", "Chosen": "ants", "Matrix": MATRIX.tolist(), "Reason": ""})
    text, _ = page_of(tmp_path, one, two)
    assert "T2w of Session 1" in text and "FLAIR of Session 2" in text
    assert "of the T2w around the thalami" in text and "with the edges of the T2w image" in text
    text = re.sub(r"base64,[^'\"]*", "", text)
    about_numbers = "what a T1w scan of the same head at 1 mm may read"
    assert re.findall(r"[^.>]*T1w[^.<]*", text.split("<script")[0].replace(about_numbers, "")) == []
    assert not any(
        re.search(r"\bT1w\b", re.sub(r"base64,[^'\"]*", "", path.read_text("utf-8")))
        for path in tmp_path.rglob("*.svg")
    )
