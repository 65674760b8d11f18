"""Which real scans, and the demo's, are seen as skull-stripped."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import DATA_ROOT
from tests.realdata import build
from thalbids import demo
from thalbids.cli.main import main
from thalbids.files import read_table
from thalbids.image.io import load_image
from thalbids.image.orientation import to_ras
from thalbids.inference.head import Head
from thalbids.inference.synthal import dice
from thalbids.methods.synthal import head_of

real = pytest.mark.skipif(not DATA_ROOT.is_dir(), reason=f"the real scans are not in {DATA_ROOT}")


def seen(path: Path) -> tuple[nib.Nifti1Image, Head]:
    """The scan in RAS and what the whole-head network sees in it."""
    image, _ = to_ras(load_image(path))
    return image, head_of(image, "full")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of real scans."""
    return build(DATA_ROOT, tmp_path_factory.mktemp("raw"))


@pytest.mark.data
@real
@pytest.mark.parametrize(
    ("name", "stripped"),
    [("fs01", False), ("fs06", False), ("ms12_ses-1", False), ("ms12_ses-2", False), ("ms07", True), ("vm01", True)],
)
def test_stripped_scans_and_whole_heads(raw: Path, name: str, stripped: bool) -> None:
    (path,) = raw.rglob(f"sub-{name}_T1w.nii.gz")
    image, head = seen(path)
    assert head.stripped == stripped
    if not stripped:  # cut to the brain's box, only skin in the corners is left beside it
        index = np.argwhere(head.brain)
        cut = image.slicer[tuple(slice(a, b) for a, b in zip(index.min(0), index.max(0) + 1, strict=True))]
        assert not head_of(cut, "full").stripped


@pytest.mark.data
def test_the_demo_is_seen_as_stripped_and_its_icv_is_that_of_the_mask(tmp_path: Path) -> None:
    pytest.importorskip("nilearn")
    (person,) = demo.people(1, 1)
    image = nib.Nifti1Image(*demo.render(person, "1", "T1w", demo.TemplateImages()))
    nib.save(image, tmp_path / "T1w.nii.gz")
    image, head = seen(tmp_path / "T1w.nii.gz")
    assert head.stripped
    assert dice(head.brain > 0, np.asarray(image.dataobj) != 0) > 0.99  # and not cut short of the cortex
    assert head.icv_mm3 == pytest.approx(float(head.brain.sum()) * abs(np.linalg.det(image.affine[:3, :3])))
    assert main(["segment", str(tmp_path / "T1w.nii.gz")]) == 0
    (row,) = read_table(tmp_path / "T1w_thalamus.tsv")
    assert "skull-stripped" in str(row["icv_note"])
