"""MindGlide: one process for all images of a session, partial results, and every failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import checkpoints
from tests.conftest import ORIENTATIONS
from tests.unit.tools.conftest import scan, world_centres
from thalbids.errors import MissingToolError
from thalbids.methods.mindglide import MindGlide as Method
from thalbids.programs import MindGlideSettings
from thalbids.settings import MethodSettings
from thalbids.tools import mindglide
from thalbids.tools.runner import ToolError

Install = Callable[..., Path]


@pytest.fixture
def settings(tmp_path: Path) -> MindGlideSettings:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return MindGlideSettings(engine="upstream", checkpoint=path)


def session() -> dict[str, nib.Nifti1Image]:
    return {"T1w": scan(), "FLAIR": scan("LPS"), "R1map": scan("oblique")}


def test_three_images_in_one_call(tmp_path: Path, install: Install, settings: MindGlideSettings) -> None:
    install("mindglide")
    images = session()
    found = mindglide.segment(images, tmp_path / "work", settings, threads=2)
    assert set(found.labels) == set(images) and not found.failed
    assert found.finished is not None
    for name, labels in found.labels.items():
        assert labels.shape == images[name].shape and labels.dtype == np.uint8
        np.testing.assert_allclose(world_centres(labels, images[name].affine, (3,)), [(3, -5, 7)], atol=1.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_input_is_float_without_nan(
    tmp_path: Path, install: Install, settings: MindGlideSettings, orientation: str
) -> None:
    install("mindglide")
    image = scan(orientation)
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0] = np.nan
    mindglide.segment({"T1w": nib.Nifti1Image(data, image.affine)}, tmp_path / "work", settings)
    given = nib.load(tmp_path / "work" / "in" / "T1w.nii.gz")
    np.testing.assert_array_equal(np.asarray(given.dataobj), np.nan_to_num(data))
    np.testing.assert_allclose(given.affine, image.affine, atol=1e-5)


def test_command_line(tmp_path: Path, settings: MindGlideSettings) -> None:
    call = mindglide.command(tmp_path, settings, threads=3)
    assert call.argv == (
        "mindglide", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"),
        "--model-path", str(settings.checkpoint), "--device", "cpu",
    )  # fmt: skip
    assert call.env["HF_HUB_OFFLINE"] == "1" and not call.gpu
    assert call.env["MALLOC_MMAP_MAX_"] == "0" and int(call.env["MALLOC_TRIM_THRESHOLD_"]) > 100e9  # docs/tools.md
    like_v1 = MindGlideSettings(checkpoint=settings.checkpoint, reorient=False, keep_largest=False, device="cuda")
    call = mindglide.command(tmp_path, like_v1)
    assert call.argv[-4:] == ("--device", "cuda", "--no-reorient", "--no-klc") and call.gpu


def test_the_checkpoint_is_that_of_the_settings_then_of_the_variable_then_of_the_cache(
    tmp_path: Path, settings: MindGlideSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MODEL_PATH", raising=False)
    assert mindglide.checkpoint(MindGlideSettings()) is None
    with pytest.raises(MissingToolError):
        mindglide.command(tmp_path, MindGlideSettings())
    monkeypatch.setenv("MODEL_PATH", "/weights.pt")
    assert mindglide.checkpoint(MindGlideSettings()) == Path("/weights.pt")
    assert mindglide.checkpoint(settings) == settings.checkpoint


@pytest.mark.parametrize(("mode", "reason"), [("one fails", "CUDA out of memory"), ("killed after one", "SIGKILL")])
def test_a_failure_of_one_image_leaves_the_others(
    tmp_path: Path, install: Install, settings: MindGlideSettings, mode: str, reason: str
) -> None:
    install("mindglide", mode)
    found = mindglide.segment(session(), tmp_path / "work", settings)
    failed = {"one fails": {"FLAIR"}, "killed after one": {"R1map", "T1w"}}[mode]
    assert set(found.failed) == failed and set(found.labels) == {"T1w", "FLAIR", "R1map"} - failed
    assert all(reason in told for told in found.failed.values())
    assert found.finished is None


def test_noise_is_no_failure(tmp_path: Path, install: Install, settings: MindGlideSettings) -> None:
    install("mindglide", "noise")
    assert not mindglide.segment(session(), tmp_path / "work", settings).failed


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fails", r"failed with exit status 1.*CUDA out of memory"),
        ("silent failure", r"segmented none of 3 images.*did not write T1w_seg.nii.gz"),
        ("renamed", r"segmented none of 3 images.*did not write"),
        ("missing side", r"found no deep grey matter \(label 3\)"),
        ("other grid", r"on another grid"),
        ("killed", r"killed by SIGKILL"),
        ("hangs", r"time limit"),
    ],
)
def test_each_failure_is_told(
    tmp_path: Path, install: Install, settings: MindGlideSettings, fault: str, message: str
) -> None:
    install("mindglide", fault)
    limit = 0.005 if fault == "hangs" else 5.0
    with pytest.raises(ToolError, match=re.compile(message, re.DOTALL)):
        mindglide.segment(session(), tmp_path / "work", replace(settings, timeout_minutes=limit))


def test_check_and_version(
    tmp_path: Path, install: Install, settings: MindGlideSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MODEL_PATH", raising=False)
    assert "thalbids setup mindglide" in mindglide.check(MindGlideSettings(command=("no-such-mindglide",))).mend
    install("mindglide")
    for engine in ("thalbids", "upstream"):
        of = MindGlideSettings(engine=engine)
        assert mindglide.check(of).mend == "Fetch it: thalbids fetch mindglide"
        assert "is not there" in mindglide.check(replace(of, checkpoint=tmp_path / "gone.pt")).problem
    assert mindglide.check(settings).ok
    assert mindglide.version(settings) == "MindGlide 1.3.0"


def test_thalbids_computes_unless_something_asks_for_mindglides_program() -> None:
    assert not mindglide.upstream(MindGlideSettings())
    assert not mindglide.upstream(MindGlideSettings(engine="thalbids", command=("mindglide",)))
    asking: dict[str, object]
    for asking in ({"command": ("x",)}, {"runner": "docker"}, {"device": "cuda"}, {"engine": "upstream"}):
        assert mindglide.upstream(MindGlideSettings(**asking)), asking  # type: ignore[arg-type]


def test_thalbids_own_engine_needs_a_checkpoint_that_it_can_read_and_a_processor(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    own = MindGlideSettings(engine="thalbids", checkpoint=path)
    path.write_bytes(b"weights")
    found = mindglide.check(own)
    assert "cannot be read" in found.problem and "Fetch it again" in found.mend
    checkpoints.mindglide_layout(path, bottleneck__conv1__conv__weight=(3,))
    os.utime(path, ns=(1, 1))  # the same time stamp twice would be the same file
    assert "has the shape (3,), not (320, 320, 3, 3, 3)" in mindglide.check(own).problem
    checkpoints.mindglide_layout(path)
    assert mindglide.check(own).ok and mindglide.version(own) == "MindGlide 1.3.0, engine of thalbids 2"
    on_gpu = mindglide.check(replace(own, device="cuda"))
    assert "on the processor only" in on_gpu.problem and 'engine = "upstream"' in on_gpu.mend


REAL = os.environ.get("THALBIDS_TEST_MINDGLIDE") or shutil.which("mindglide")


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="mindglide is not installed (THALBIDS_TEST_MINDGLIDE names its program)")
def test_the_real_package_with_random_weights(tmp_path: Path) -> None:
    assert REAL is not None
    checkpoint = tmp_path / "random.pt"
    make = (
        "import sys, torch; from mindglide.network import get_network; torch.manual_seed(1)\n"
        "torch.save(get_network(device='cpu').state_dict(), sys.argv[1])"
    )
    beside = Path(REAL).with_name("python")
    python = str(beside) if beside.exists() else sys.executable
    subprocess.run([python, "-c", make, str(checkpoint)], check=True)
    settings = MindGlideSettings(command=(REAL,), checkpoint=checkpoint, keep_largest=False)
    assert mindglide.check(settings).ok
    assert re.fullmatch(r"MindGlide 1\.\d.*", mindglide.version(settings) or "")
    images = {"T1w": scan("LIA"), "FLAIR": scan("anisotropic")}
    found = mindglide.segment(images, tmp_path / "work", settings, threads=2)
    assert set(found.labels) | set(found.failed) == set(images)
    for name, reason in found.failed.items():  # random weights need not know any deep grey matter
        assert "no deep grey matter" in reason, (name, reason)
    log = (tmp_path / "work" / "mindglide.log").read_text()
    assert "2 segmentations saved" in log
    for name, image in images.items():
        written = nib.load(tmp_path / "work" / "out" / f"{name}_seg.nii.gz")
        assert written.shape == image.shape
        np.testing.assert_allclose(written.affine, image.affine, atol=1e-4)
        assert len(np.unique(np.asarray(written.dataobj))) > 1


def test_the_device_counts_where_it_is_no_cpu(settings: MindGlideSettings) -> None:
    def params(device: str) -> dict[str, object]:
        return dict(Method().params(MethodSettings((replace(settings, device=device),))))

    assert params("cuda") == {**params("cpu"), "Device": "cuda"}
    assert "Device" not in params("cpu")
