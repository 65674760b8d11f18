"""SynThal on all visits of a person as a method: maps, reasons, and what the sidecars tell."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.inference.test_synthal import MIDDLE, head, position_net
from thalbids.inference import synthal
from thalbids.methods.base import Request
from thalbids.methods.over_time import SynThalLong
from thalbids.settings import Settings


@pytest.fixture(autouse=True)
def bright_is_thalamus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthal, "networks", lambda precision: (None, position_net))


def request_of(image: nib.Nifti1Image, tmp_path: Path, **given: object) -> Request:
    return Request("T1w", image, tmp_path / "brain", tuple(MIDDLE), SynThalLong().params(Settings()), tmp_path, **given)


def test_every_visit_gets_its_mask_and_one_without_thalami_its_reason(tmp_path: Path) -> None:
    dark = nib.Nifti1Image(np.ones((96, 100, 90), np.float32), head("RAS").affine)
    images = {"ses-1": head("RAS"), "ses-2": head("LPS"), "ses-3": dark}
    maps, failed = SynThalLong().session_maps({n: request_of(image, tmp_path) for n, image in images.items()})
    assert sorted(maps) == ["ses-1", "ses-2"] and "no thalami were found" in failed["ses-3"]
    volumes = [np.count_nonzero(maps[name].labels) for name in maps]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.01)
    assert maps["ses-1"].metadata["SoftVolumeMm3"] == pytest.approx(volumes[0], rel=0.02)


def test_a_mask_is_the_map_and_tells_what_was_seen(tmp_path: Path) -> None:
    maps, _ = SynThalLong().session_maps({n: request_of(head("RAS"), tmp_path) for n in ("a", "b")})
    request = request_of(head("RAS"), tmp_path, labels=maps["a"].labels, told={**maps["a"].metadata, "Else": 1})
    mask = SynThalLong().segment(request)
    assert np.array_equal(mask.labels, maps["a"].labels) and set(np.unique(mask.labels)) == {0, 10, 49}
    assert mask.metadata["FlipDice"] > 0.99 and "Else" not in mask.metadata


def test_it_depends_on_the_weights_and_not_on_what_one_scan_may_choose() -> None:
    params = SynThalLong().params(Settings())
    assert set(params) == {"Weights", "Precision"}
