"""MindGlide's network in thalbids: preprocessing and post-processing against values derived otherwise, labels near a
mask against those of the whole head, wrong checkpoints, and, where MindGlide is installed, MindGlide itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tests import checkpoints
from thalbids.errors import ImageError, MissingToolError
from thalbids.image.io import load_image, save_image
from thalbids.inference import mindglide

LEVELS = np.array([0, *np.linspace(-2.5, 3.2, 19)], np.float32).reshape(-1, 1, 1, 1)  # the background is 0


def levels(window: np.ndarray) -> np.ndarray:
    """A network whose labels follow the brightness: it needs no weights, and shows all that goes before and after."""
    return -(window - LEVELS) * (window - LEVELS)


def head(shape: tuple[int, int, int], seed: int = 1, islands: bool = True) -> np.ndarray:
    """A smooth ellipsoid in air, with brighter islands around it."""
    random = np.random.default_rng(seed)
    smooth, other = (ndimage.gaussian_filter(random.normal(size=shape), 2.5) for _ in range(2))
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = sum((axis / reach) ** 2 for axis, reach in zip(grid, (0.8, 0.85, 0.8), strict=True)) < 1
    data = np.where(inside, 100 + 25 * smooth / smooth.std() + 20 * grid[1], 0)
    if islands:
        data[(other > 2.2 * other.std()) & ~inside] = 60
    return np.clip(data, 0, None).astype(np.float32)


def image(data: np.ndarray, *sizes: float) -> nib.Nifti1Image:
    return nib.Nifti1Image(data, np.diag([*(sizes or (1.0, 1.0, 1.0)), 1.0]))


def test_z_scores_are_of_what_is_not_zero() -> None:
    data = np.zeros((12, 10, 9), np.float32)
    data[3:7, 2:6, 4:6] = np.arange(32).reshape(4, 4, 2) % 2 * 4 + 1  # half 1, half 5: mean 3, SD 2
    found = mindglide.prepare(data, np.ones(3))
    assert found.box == (slice(3, 7), slice(2, 6), slice(4, 6)) and not found.resampled
    np.testing.assert_array_equal(found.image, np.where(data[found.box] == 1, -1, 1))
    data[4, 3, 4] = 0  # inside the box: it stays 0 and is left out of mean and SD
    found = mindglide.prepare(data, np.ones(3))
    assert found.image[1, 1, 0] == 0
    values = data[data > 0].astype(np.float64)
    np.testing.assert_allclose(found.image[0, 0, 0], (data[3, 2, 4] - values.mean()) / values.std(), rtol=1e-6)


def test_an_image_with_negative_values_is_cropped_to_what_is_above_zero() -> None:
    data = np.full((8, 8, 8), -1, np.float32)
    data[2:5, 3:6, 1:7] = 4
    assert mindglide.prepare(data, np.ones(3)).box == (slice(2, 5), slice(3, 6), slice(1, 7))


def test_other_voxels_are_resampled_to_1_mm_in_the_same_box() -> None:
    x = np.arange(1, 41, dtype=np.float32)
    data = np.tile(x[:, None, None], (1, 12, 10))
    found = mindglide.prepare(data, np.array([0.5, 1.0, 1.0]))
    assert found.image.shape == (20, 12, 10) and found.resampled and not found.thick
    wanted = 1.5 + 2 * np.arange(20)  # the middle between two voxels; a spline keeps a line, away from its ends
    wanted = (wanted - wanted.mean()) / wanted.std()
    np.testing.assert_allclose(found.image[4:16, 5, 5], wanted[4:16], atol=2e-3)


def test_a_voxel_of_a_rounding_error_less_than_1_mm_costs_a_plane_as_upstream() -> None:
    found = mindglide.prepare(head((20, 20, 20)), np.array([1 - 1e-7, 1.0, 1.0]))
    assert found.image.shape[0] == found.box[0].stop - found.box[0].start - 1


def test_thick_slices_are_repeated() -> None:
    data = np.tile(np.arange(1, 7, dtype=np.float32), (8, 8, 1))
    found = mindglide.prepare(data, np.array([1.0, 1.0, 3.0]))
    assert found.thick and found.image.shape == (8, 8, 18)
    wanted = np.repeat((np.arange(1, 7) - 3.5) / np.arange(1, 7).std(), 3)
    np.testing.assert_allclose(found.image[4, 4], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("there", "wanted"),
    [((9, 11, 7), (12, 9, 13)), ((10, 10, 10), (20, 5, 8)), ((7, 8, 9), (10, 12, 15)), ((12, 5, 6), (7, 9, 4))],
)
def test_labels_come_back_class_by_class(there: tuple[int, int, int], wanted: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 4, there).astype(np.uint8)
    expected = np.zeros(wanted, np.uint8)
    factors = [m / n for n, m in zip(there, wanted, strict=True)]
    for label in (3, 2, 1):  # where two have one half each, the first wins
        share = ndimage.zoom((labels == label).astype(float), factors, order=1, mode="nearest", grid_mode=True)
        expected[share >= 0.5] = label
    axes = [mindglide._neighbours(n, m) for n, m in zip(there, wanted, strict=True)]
    assert (mindglide.vote(labels, axes) == expected).all()
    parts = [slice(n // 3, 2 * n // 3) for n in wanted]
    some = [axis[:, part] for axis, part in zip(axes, parts, strict=True)]
    assert (mindglide.vote(labels, some) == expected[tuple(parts)]).all()


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (1.2, 0.9, 1.1), (0.9, 0.9, 4.0), (3.5, 1.0, 1.0)])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR"])
def test_near_a_mask_labels_are_those_of_the_whole_head(sizes: tuple[float, float, float], axes: str) -> None:
    scan = image(head((40, 36, 24)), *sizes)
    order = nib.orientations.axcodes2ornt(axes)
    scan = scan.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(scan.affine), order))
    middle = tuple(n // 2 for n in scan.shape)
    around = np.zeros(scan.shape, bool)
    around[tuple(slice(n - 3, n + 4) for n in middle)] = True
    whole = mindglide.segment(scan, levels)
    near = mindglide.segment(scan, levels, around=around)
    assert len(np.unique(whole[around])) > 3 and (near[around] == whole[around]).all()
    assert np.count_nonzero(near) < np.count_nonzero(whole) / 4


def test_labels_do_not_depend_on_the_order_of_the_axes() -> None:
    scan = image(head((30, 33, 28)), 1.0, 1.2, 0.9)
    turned = scan.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    found = nib.Nifti1Image(mindglide.segment(turned, levels), turned.affine)
    back = nib.as_closest_canonical(found)
    assert (np.asarray(back.dataobj) == mindglide.segment(scan, levels)).all()
    differs = mindglide.segment(turned, levels, reorient=False)
    assert differs.shape == turned.shape


def test_only_the_largest_component_is_kept_unless_told_otherwise() -> None:
    data = np.zeros((30, 20, 20), np.float32)
    data[2:14, 2:14, 2:14] = 50 + np.random.default_rng(1).normal(0, 5, (12, 12, 12))
    data[20:24, 5:9, 5:9] = 50
    island = np.zeros(data.shape, bool)
    island[20:24, 5:9, 5:9] = True
    assert not mindglide.segment(image(data), levels)[island].any()
    every = mindglide.segment(image(data), levels, keep_largest=False)
    assert every[island].all()
    # near the island alone it is one component, so that it is taken for the one that is kept; near both, the whole
    # head decides
    assert mindglide.segment(image(data), levels, around=island)[island].all()
    both = island.copy()
    both[10:14, 5:9, 5:9] = True
    near = mindglide.segment(image(data), levels, around=both)
    assert (near == mindglide.segment(image(data), levels)).all()


def test_an_empty_image_is_an_error() -> None:
    with pytest.raises(ImageError, match="no voxel of the image is above 0"):
        mindglide.segment(image(np.zeros((10, 10, 10), np.float32) - 1), levels)


def test_the_layout_has_the_size_of_the_real_checkpoint() -> None:
    """123 158 460 bytes, with the heads of deep supervision (1 x 1 x 1 of 64, 128, 256 channels) and the zip's own."""
    heads = sum(20 * channels + 20 for channels in (64, 128, 256))
    numbers = 4 * (heads + sum(int(np.prod(shape)) for shape in mindglide.shapes().values()))
    assert 0 < 123_158_460 - numbers < 60_000


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"bottleneck__conv1__conv__weight": ()}, r"it has no bottleneck\.conv1\.conv\.weight"),
        ({"output_block__conv__conv__bias": (3,)}, r"output_block\.conv\.conv\.bias has the shape \(3,\), not \(20,\)"),
        ({"downsamples__0__conv3__conv__weight": (2,)}, r"it has downsamples\.0\.conv3\.conv\.weight"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path, other: dict[str, tuple[int, ...]], message: str
) -> None:
    path = checkpoints.mindglide_layout(tmp_path / "other.pt", **other)
    with pytest.raises(MissingToolError, match=rf"not of MindGlide's network: .*{message}.*thalbids fetch mindglide"):
        mindglide.check_layout(path)
    mindglide.check_layout(checkpoints.mindglide_layout(tmp_path / "own.pt", skip_layers__x=(2, 2)))


def test_the_network_is_made_once_a_process_and_again_when_the_file_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindglide, "MindGlideNetwork", lambda *what: list(what))
    mindglide.load.cache_clear()
    first = mindglide.load(Path("model.pt"), 1, "full", 2)
    assert mindglide.load(Path("model.pt"), 1, "full", 2) is first == [Path("model.pt"), "full", 2]
    assert mindglide.load(Path("model.pt"), 2, "full", 2) is not first
    mindglide.load.cache_clear()


REAL = os.environ.get("THALBIDS_TEST_MINDGLIDE") or shutil.which("mindglide")
GEOMETRIES = {  # shape, voxel sizes, degrees, order of the axes
    "1 mm": ((70, 66, 50), (1, 1, 1), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "several windows": ((151, 67, 71), (1, 1, 1), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "small": ((24, 33, 19), (1, 1, 1), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "anisotropic": ((60, 72, 48), (1.2, 0.9, 1.1), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "fine": ((100, 60, 70), (0.5, 0.5, 0.8), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "thick slices": ((80, 90, 14), (0.9, 0.9, 5.0), (0, 0, 0), (0, 1, 2), (-1, 1, 1)),
    "thick along x": ((12, 80, 70), (4.0, 1, 1), (0, 0, 0), (0, 1, 2), (1, 1, 1)),
    "PSR": ((50, 60, 70), (1, 1, 1), (0, 0, 0), (1, 2, 0), (1, -1, 1)),
    "oblique": ((60, 66, 70), (1, 1, 1.2), (11, -7, 5), (0, 1, 2), (-1, -1, 1)),
    "more oblique": ((64, 64, 64), (1, 1, 1), (20, 30, 10), (0, 1, 2), (1, 1, 1)),
}
UPSTREAM = """
import sys, torch, mindglide.infer as infer, mindglide.network as network
class Levels(torch.nn.Module):
    def forward(self, x):
        levels = torch.cat([torch.zeros(1), torch.linspace(-2.5, 3.2, 19)]).reshape(1, -1, 1, 1, 1)
        return -(x - levels) * (x - levels)
if sys.argv[1] == "levels":
    network.get_network = lambda **words: Levels()
    infer.resolve_model_path = lambda path: path
pairs = [(path, path.replace(".nii", "_seg.nii")) for path in sys.argv[3:]]
options = {"no_klc": "klc" in sys.argv[2], "no_reorient": "reorient" in sys.argv[2]}
done, failed = infer.run_inference(pairs, device="cpu", model_path=sys.argv[1], **options)
sys.exit(bool(failed))
"""
WEIGHTS = """
import sys, torch; from mindglide.network import get_network; torch.manual_seed(int(sys.argv[1]))
torch.save(get_network(device="cpu").state_dict(), sys.argv[2])
"""


def upstream(code: str, *words: str) -> None:
    assert REAL is not None
    python = Path(REAL).with_name("python")
    subprocess.run([str(python) if python.exists() else sys.executable, "-c", code, *words], check=True)


def written(folder: Path, names: list[str]) -> list[Path]:
    paths = []
    for number, name in enumerate(names):
        shape, sizes, angles, order, signs = GEOMETRIES[name]
        affine = np.eye(4)
        turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(np.multiply(sizes, signs))
        affine[:3, :3] = turned[:, list(order)]
        affine[:3, 3] = (-30, -40, -25)
        paths.append(save_image(head(shape, number), affine, folder / f"{name.replace(' ', '')}.nii.gz"))
    return paths


def check_equal(path: Path, net: mindglide.windows.Net, **options: bool) -> int:
    """Compare with MindGlide's labels; gives how many labels there are.

    Where two scores are equal to their last digits either may win: by brightness on the border of two levels, by random
    weights, whose scores lie close together, a little oftener.
    """
    theirs = np.asarray(nib.load(path.with_name(path.name.replace(".nii", "_seg.nii"))).dataobj)
    ours = mindglide.segment(load_image(path), net, **options)
    assert np.count_nonzero(ours != theirs) <= 1 + 2e-5 * ours.size, path
    return len(np.unique(ours))


needs_upstream = pytest.mark.skipif(
    REAL is None, reason="mindglide is not installed (THALBIDS_TEST_MINDGLIDE names its program)"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_upstream
@pytest.mark.parametrize("told", ["", "klc reorient"])
def test_what_goes_before_and_after_the_network_is_mindglides(tmp_path: Path, told: str) -> None:
    paths = written(tmp_path, list(GEOMETRIES))
    upstream(UPSTREAM, "levels", told, *map(str, paths))
    for path in paths:
        assert check_equal(path, levels, keep_largest=not told, reorient=not told) > 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_upstream
@pytest.mark.parametrize(("seed", "names"), [(1, ["several windows", "small"]), (2, ["small", "anisotropic"])])
def test_labels_of_random_weights_are_mindglides(tmp_path: Path, seed: int, names: list[str]) -> None:
    weights = tmp_path / "random.pt"
    upstream(WEIGHTS, str(seed), str(weights))
    paths = written(tmp_path, names)
    upstream(UPSTREAM, str(weights), "", *map(str, paths))
    net = mindglide.MindGlideNetwork(weights)
    for path in paths:
        assert check_equal(path, net) > 3
