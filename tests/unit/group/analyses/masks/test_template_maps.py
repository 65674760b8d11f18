"""Maps in template space, with transforms that are known."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.group.analyses.masks.test_manual import draw, group, place, read, study
from thalbids.cli.main import main
from thalbids.group.analyses.masks import template_maps
from thalbids.group.analyses.masks.template_maps import MapJob, TemplateGrid, add_up
from thalbids.registration.transforms import write_itk

__all__ = ["study"]

SHAPE = (60, 50, 55)
SHIFT = np.array([-10.0, -4.0, 6.0])  # from the template's world to the T1w's
TEMPLATE = np.diag([0.8, 1.0, 1.5, 1.0])


def with_transforms(out: Path, people: int = 12) -> None:
    """A transform to the template "Own" for each person: a shift by whole voxels."""
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT * [0.8, 1.0, 1.5]
    for i in range(people):
        folder = place(out, f"sub-{i:02d}")
        path = folder / f"sub-{i:02d}_ses-1_from-T1w_to-Own_mode-image_xfm.txt"
        write_itk(matrix, path)
        grid = {"Shape": list(SHAPE), "Affine": TEMPLATE.tolist()}
        path.with_suffix(".json").write_text(json.dumps({"TemplateGrid": grid}))


def expected_box(length: int) -> np.ndarray:
    """`box(6, size=(length, 8, 6))` of the T1w in the template: 10 voxels to the right, 4 up, 6 down."""
    data = np.zeros(SHAPE)
    data[16 : 16 + length, 14:22, 2:8] = 1
    return data


def test_maps_by_hand(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    with_transforms(out)
    for i in range(6):
        draw(manual, i)
    draw(manual, 7, x=27)  # another person's: in no map
    assert group(study) == 0
    rows = {(r["method"], r["rater"], r["map"]): r for r in read(out / "group_maps.tsv")}
    assert len(rows) == 4 * 3
    mean = rows["first", "n/a", "mean"]
    assert (mean["n"], mean["template"]) == ("12", "Own")
    image = nib.load(out / mean["file"])
    np.testing.assert_allclose(image.affine, TEMPLATE)
    expected = np.mean([expected_box(11 + i % 7) for i in range(12)], axis=0)
    np.testing.assert_allclose(image.get_fdata(), expected, atol=1e-6)
    assert float(mean["volume_ml"]) == pytest.approx(expected.sum() * 1.2 / 1000)
    wrong = rows["first", "manual", "falsepositive"]
    assert wrong["n"] == "6"
    expected = np.mean([expected_box(11 + i) - expected_box(8 + i) for i in range(6)], axis=0)
    np.testing.assert_allclose(nib.load(out / wrong["file"]).get_fdata(), expected, atol=1e-6)
    assert float(rows["first", "manual", "falsenegative"]["maximum"]) == 0
    described = json.loads((out / wrong["file"].replace(".nii.gz", ".json")).read_text())
    assert (described["N"], described["Rater"]) == (6, "manual")


def test_maps_that_a_run_makes_no_more_are_removed(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    with_transforms(out)
    draw(manual, 1)
    assert group(study) == 0
    before = {path.name for path in (out / "group_maps").iterdir()}
    assert len(before) == 2 * 4 * 3
    mine = out / "group_maps" / "group_space-Own_method-mine_map-mean.nii.gz"
    mine.write_bytes(b"x")
    assert main([str(study[0]), str(out), "group", "--methods", "first"]) == 0
    kept = {"group_space-Own_method-first_map-mean.json", "group_space-Own_method-first_map-mean.nii.gz", mine.name}
    assert {path.name for path in (out / "group_maps").iterdir()} == kept
    for path in out.glob("sub-*/*/anat/*_xfm.*"):
        path.unlink()
    assert group(study) == 0
    assert [path.name for path in (out / "group_maps").iterdir()] == [mine.name]


def test_without_transforms_there_are_no_maps(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    draw(manual, 1)
    assert group(study) == 0
    assert not (out / "group_maps").exists() and not (out / "group_maps.tsv").exists()


def test_damaged_transforms_cost_themselves_only(
    study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = study
    with_transforms(out, 3)
    next(out.glob("sub-00/*/anat/*xfm.txt")).write_text("no transform")
    next(out.glob("sub-01/*/anat/*xfm.json")).write_text("{}")
    assert group(study) == 0
    shown = capsys.readouterr().out
    assert "warning: sub-00_ses-1 is not in the maps: The transform cannot be read" in shown
    assert "warning: sub-01_ses-1: the sidecar of its transform" in shown
    assert {r["n"] for r in read(out / "group_maps.tsv")} == {"1"}


def jobs(out: Path, people: int) -> list[MapJob]:
    grid = TemplateGrid("Own", SHAPE, tuple(map(tuple, TEMPLATE.tolist())))
    made = []
    for i in range(people):
        folder = out / f"sub-{i:02d}" / "ses-1" / "anat"
        files = {"first": folder / f"sub-{i:02d}_ses-1_space-T1w_label-thalamus_desc-first_mask.nii.gz"}
        made.append(MapJob(f"sub-{i:02d}", next(folder.glob("*xfm.txt")), grid, files))
    return made


@pytest.mark.slow
def test_processes_do_not_change_the_sums(study: tuple[Path, Path, Path]) -> None:
    _, out, _ = study
    with_transforms(out)
    one, two = (add_up(jobs(out, 12), n) for n in (1, 2))
    assert one.box == two.box and one.n == two.n
    for key, total in one.total.items():
        np.testing.assert_array_equal(total, two.total[key])


def test_a_box_grows_with_the_sessions(study: tuple[Path, Path, Path]) -> None:
    _, out, _ = study
    with_transforms(out, 2)
    first, second = (template_maps.session_maps(job) for job in jobs(out, 2))
    second.box = tuple(tuple(v + 20 for v in corner) for corner in second.box)  # type: ignore[assignment]
    sums = first.total["first", "", "mean"].sum() + second.total["first", "", "mean"].sum()
    first.add(second)
    assert first.total["first", "", "mean"].sum() == pytest.approx(sums)
    assert first.n == {("first", "", "mean"): 2}
