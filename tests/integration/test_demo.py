"""The demo dataset: valid BIDS, true to what it says about itself, the same in every run."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids import demo
from thalbids.cli.main import main
from thalbids.errors import MissingToolError, UsageError
from thalbids.files import read_json, read_table
from thalbids.registration.transforms import read_itk

pytestmark = pytest.mark.slow

BESIDE_PYTHON = Path(sys.executable).with_name("bids-validator-deno")
VALIDATOR = shutil.which("bids-validator-deno") or (str(BESIDE_PYTHON) if BESIDE_PYTHON.is_file() else None)

HEAD = np.array([(x, y, z, 1) for x in (-50, 0, 50) for y in (-80, -20, 40) for z in (-30, 10, 50)])  # mm


def checksums(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "raw"
    assert list(demo.write_dataset(root, subjects=1, seed=7)) == ["sub-01_ses-1", "sub-01_ses-2"]
    return root


def image(dataset: Path, session: str, suffix: str) -> nib.Nifti1Image:
    return nib.load(dataset / f"sub-01/ses-{session}/anat/sub-01_ses-{session}_{suffix}.nii.gz")


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed (pip install it)")
def test_the_validator_finds_no_error(dataset: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [str(VALIDATOR), str(dataset), "--format", "json", "-o", str(report)]
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    found = json.loads(report.read_text())["issues"]["issues"]
    assert found
    assert [issue for issue in found if issue["severity"] == "error"] == []


def test_tables_have_the_columns_that_the_group_level_reads(dataset: Path) -> None:
    (person,) = read_table(dataset / "participants.tsv")
    assert list(person) == ["participant_id", "age", "sex", "diagnosis", "disease_duration"]
    visits = read_table(dataset / "sub-01" / "sub-01_sessions.tsv")
    assert [visit["session_id"] for visit in visits] == ["ses-1", "ses-2"]
    expected = ["session_id", "acq_time", "edss", "t25fw_1", "t25fw_2", "nhpt_1", "nhpt_2", "sdmt", "steroid"]
    assert list(visits[0]) == expected
    assert visits[0]["acq_time"] < visits[1]["acq_time"]  # type: ignore[operator]
    documented = read_json(dataset / "sessions.json") | read_json(dataset / "participants.json")
    assert set(documented) >= {*person, *expected} - {"participant_id", "session_id"}


def test_an_interrupted_demo_is_finished_to_the_same_bytes_and_then_left_alone(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    begun = demo.write_dataset(root, subjects=1, seed=7)
    next(begun)
    begun.close()
    assert not (root / "dataset_description.json").exists()
    assert len(list(root.rglob("*.nii.gz"))) < 6  # the image that was being made, and no more
    list(demo.write_dataset(root, subjects=1, seed=7, threads=2))
    assert checksums(root) == checksums(dataset)
    assert list(demo.write_dataset(root, subjects=1, seed=7)) == []


def test_brains_are_where_the_sidecars_say(dataset: Path) -> None:
    t1w = image(dataset, "2", "T1w")
    brain = np.asarray(t1w.dataobj) > 0
    for suffix in ("FLAIR", "R1map"):
        moving = image(dataset, "2", suffix)
        sidecar = read_json(dataset / f"sub-01/ses-2/anat/sub-01_ses-2_{suffix}.json")
        rigid = np.array(sidecar["TrueRigidFromT1w"])
        assert np.allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3))
        overlap = []
        for matrix in (rigid, np.eye(4)):
            to_voxels = np.linalg.inv(moving.affine) @ matrix @ t1w.affine
            moved = ndimage.affine_transform(
                (np.asarray(moving.dataobj) > 0).astype(np.float32), to_voxels, output_shape=brain.shape, order=1
            )
            overlap.append(2 * np.sum(brain & (moved > 0.5)) / (brain.sum() + np.sum(moved > 0.5)))
        assert overlap[0] > 0.985
        assert overlap[0] > overlap[1] + 0.005


def test_contrasts_are_those_of_the_field(dataset: Path) -> None:
    r1 = np.asarray(image(dataset, "1", "R1map").dataobj)
    grey, white = (
        np.bincount((r1[(r1 > a) & (r1 < b)] * 100).astype(int)).argmax() / 100 for a, b in ((0.5, 0.8), (0.85, 1.2))
    )
    assert abs(grey - 0.65) < 0.04
    assert abs(white - 1.0) < 0.06
    assert image(dataset, "1", "T1w").get_data_dtype() == np.int16
    assert nib.aff2axcodes(image(dataset, "1", "T1w").affine) == ("P", "S", "R")


class BlurredThalami:
    """In place of the template: thalami alone, with a soft edge, so that sums measure volumes finely."""

    def in_brain(self, points: np.ndarray) -> np.ndarray:
        return np.minimum(demo.ellipsoid(points, -1), demo.ellipsoid(points, 1)) < 1.3

    def sample(self, suffix: str, points: np.ndarray) -> np.ndarray:
        nearest = np.minimum(demo.ellipsoid(points, -1), demo.ellipsoid(points, 1))
        return 1000 * np.clip((1.1 - nearest) / 0.2, 0, 1)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_truth_is_what_the_images_show(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NOISE", dict.fromkeys(demo.NOISE, 0.0))
    monkeypatch.setattr(demo, "GRIDS", demo.GRIDS | {"R1map": demo.SamplingGrid((1.0, 1.0, 1.0), (72, 80, 64), "RAS")})
    person = demo.people(3, seed=7)[number]
    first, second = (
        float(demo.render(person, session, "R1map", BlurredThalami())[0].sum()) for session in demo.SESSIONS
    )  # type: ignore[arg-type]
    left, right, both = demo.true_change(person)
    assert 100 * (second / first - 1) == pytest.approx(both, abs=0.1)
    assert left == pytest.approx(100 * person.change[0], abs=0.3)
    assert right == pytest.approx(100 * person.change[1], abs=0.3)


def test_the_demo_measures_close_to_the_truth_and_a_second_run_computes_nothing(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", str(dataset.parent), "--subjects", "1", "--seed", "7"]
    assert main(words) == 0
    out = dataset.parent / "derivatives" / "thalbids"
    ((label, truth, measured),) = demo.compare(dataset, out)
    assert label == "sub-01"
    assert measured == pytest.approx(truth, abs=1.0)
    assert str(out / "sub-01.html") in capsys.readouterr().out
    for session, suffix in itertools.product(demo.SESSIONS, ("FLAIR", "R1map")):
        stem = f"sub-01/ses-{session}/anat/sub-01_ses-{session}_"
        found = read_itk(out / f"{stem}from-{suffix}_to-T1w_mode-image_xfm.txt")
        true = np.array(read_json(dataset / f"{stem}{suffix}.json")["TrueRigidFromT1w"])
        assert np.linalg.norm(HEAD @ (found - true).T, axis=1).mean() < 0.5  # mm
    before = checksums(out / "sub-01")
    assert main(words) == 0
    assert checksums(out / "sub-01") == before
    assert _statuses(out) == {"cached"}
    (out / "sub-01.html").unlink()
    again = [str(dataset), str(out), "participant"]
    assert main([*again, "--reports-only"]) == 0
    assert checksums(out / "sub-01") == before
    assert main(again) == 0
    assert _statuses(out) == {"cached"}


def _statuses(out: Path) -> set[str]:
    """How the steps of the last run ended."""
    last = max((out / "logs").glob("*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    return {step["status"] for step in read_json(last)["steps"]}


def test_people_shrink_by_diagnosis() -> None:
    healthy, relapsing, progressive = demo.people(3, seed=1)
    assert [p.diagnosis for p in (healthy, relapsing, progressive)] == ["HC", "RRMS", "SPMS"]
    assert healthy.duration is None
    assert 0 < relapsing.duration < relapsing.age - 15 and 0 < progressive.duration < progressive.age - 15  # type: ignore[operator]
    assert 0 > min(healthy.change) > max(relapsing.change) > max(progressive.change) > -0.07


def test_one_side_does_not_touch_the_other() -> None:
    person = replace(demo.people(1, seed=1)[0], change=(0.0, -0.1))
    left, right, _ = demo.true_change(person)
    assert left == 0
    assert right == pytest.approx(-10, abs=0.4)


def test_other_folders_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(UsageError, match="something other than this demo"):
        list(demo.write_dataset(tmp_path, subjects=1, seed=7))
    with pytest.raises(UsageError, match="something other than this demo"):
        list(demo.write_dataset(dataset, subjects=2, seed=7))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(("subjects", "seed"), [(0, 1), (100, 1), (1, -1)])
def test_impossible_sizes_are_refused(tmp_path: Path, subjects: int, seed: int) -> None:
    with pytest.raises(UsageError, match="--subjects must be 1 to 99"):
        list(demo.write_dataset(tmp_path / "raw", subjects, seed))


def test_without_nilearn_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(MissingToolError, match=r'pip install "thalbids\[demo\]"'):
        list(demo.write_dataset(tmp_path / "raw"))
    assert not (tmp_path / "raw").exists()
