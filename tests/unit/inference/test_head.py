"""The whole head seen by a stand-in network whose answer is known: bright is brain, two bright balls are thalami."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tests.conftest import DATA_ROOT, ORIENTATIONS, affine_of, world_coordinates
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image
from thalbids.image.orientation import to_ras
from thalbids.inference import boxes, head
from thalbids.methods.synthal import head_of
from thalbids.participant.stages.session.registration import looks_stripped

MIDDLE = np.array([3.0, -8.0, 12.0])
RADII = np.array([65.0, 85.0, 60.0])  # of the brain
SKULL, SCALP = 8.0, 22.0  # mm outside it
UPRIGHT = Rotation.from_euler("x", head.PITCH_DEGREES, degrees=True).as_matrix()
TRUE_ICV = 4 / 3 * np.pi * (RADII + head.ICV_MARGIN_MM).prod()


def ball(world: np.ndarray, centre: np.ndarray, radii: np.ndarray, turn: np.ndarray) -> np.ndarray:
    away = np.tensordot(turn.T, world - (MIDDLE + turn @ centre).reshape(3, 1, 1, 1), 1)
    return np.asarray(((away / radii.reshape(3, 1, 1, 1)) ** 2).sum(0) <= 1)


def phantom(affine: np.ndarray, shape: tuple[int, ...], tilt: float = 0.0) -> nib.Nifti1Image:
    """Scalp 60, skull 5, fluid 30, brain 100, left thalamus 120 and right 140; air 0; tilted by degrees about x."""
    world = world_coordinates(affine, shape)
    turn = Rotation.from_euler("x", tilt, degrees=True).as_matrix() @ UPRIGHT
    data = np.zeros(shape, np.float32)
    for margin, value in ((SCALP, 60), (SKULL, 5), (4.0, 30), (0.0, 100)):
        data[ball(world, np.zeros(3), RADII + margin, turn)] = value
    data[ball(world, np.array([-12.0, 2, -3]), np.array([8.0, 13, 8]), turn)] = 120
    data[ball(world, np.array([12.0, 2, -3]), np.array([8.0, 13, 8]), turn)] = 140
    return nib.Nifti1Image(data, affine)


def net(x: np.ndarray) -> np.ndarray:
    """Classes by brightness relative to the brightest (the right thalamus)."""
    value = ndimage.gaussian_filter(x / max(float(x.max()), 1e-3), 0.3)
    p = np.zeros((6, *x.shape), np.float32)
    p[2] = (value > 0.464) & (value <= 0.79)
    p[4], p[5] = (value > 0.79) & (value <= 0.92), value > 0.92
    p[0] = 1 - p.sum(0)
    return p


def seen(image: nib.Nifti1Image) -> head.Head:
    return head.see_head(image, net)


def cube(n: int = 84, zoom: float = 3.0) -> tuple[np.ndarray, tuple[int, ...]]:
    affine = np.diag([zoom, zoom, zoom, 1.0])
    affine[:3, 3] = MIDDLE - zoom * (n - 1) / 2
    return affine, (n, n, n)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_volume_and_mask_in_every_orientation(orientation: str) -> None:
    shape = (200, 240, 60) if orientation.startswith("anisotropic") else (110, 125, 110)
    affine = affine_of(orientation, shape)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    affine[:3, :3] *= 240 / (np.array(shape) * zooms).min()
    affine[:3, 3] = MIDDLE - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    found = seen(phantom(affine, shape))
    assert found.icv_mm3 == pytest.approx(TRUE_ICV, rel=0.05)
    assert not found.cut_off and not found.stripped
    voxel = abs(np.linalg.det(affine[:3, :3]))
    assert found.brain.sum() * voxel == pytest.approx(4 / 3 * np.pi * (RADII + head.BRAIN_MARGIN_MM).prod(), rel=0.05)
    middle = nib.affines.apply_affine(affine, np.argwhere(found.brain).mean(0))
    assert middle == pytest.approx(MIDDLE, abs=2.5)


def test_what_surrounds_a_head_changes_nothing() -> None:
    affine, shape = cube()
    image = phantom(affine, shape)
    whole = seen(image)
    data = np.asarray(image.dataobj)
    for pad, value in ((11, 0.0), (30, 0.0), (20, 30.0)):
        moved = affine.copy()
        moved[:3, 3] -= pad * 3.0
        base = np.where(data == 0, np.float32(value), data)
        padded = nib.Nifti1Image(np.pad(base, pad, constant_values=value), moved)
        assert seen(padded).icv_mm3 == pytest.approx(whole.icv_mm3, rel=1e-3)
    narrow = affine.copy()
    narrow[0, 3] += 3.0 * 10
    assert seen(nib.Nifti1Image(data[10:-10], narrow)).icv_mm3 == pytest.approx(whole.icv_mm3, rel=0.01)


@pytest.mark.parametrize("tilt", [-44, -20, 12, 30, 44])
def test_a_tilted_head_is_measured_upright(tilt: float) -> None:
    affine, shape = cube()
    upright, tilted = seen(phantom(affine, shape)), seen(phantom(affine, shape, tilt))
    assert tilted.icv_mm3 == pytest.approx(upright.icv_mm3, rel=0.02)
    assert tilted.tilt == pytest.approx(abs(tilt), abs=3) and upright.tilt < 3


@pytest.mark.parametrize(("axis", "side"), [(2, 1), (2, 0), (0, 0), (1, 1)])
def test_a_head_that_leaves_the_field_of_view_is_said_to_be_cut_off(axis: int, side: int) -> None:
    affine, shape = cube()
    image = phantom(affine, shape)
    inside = np.flatnonzero((np.asarray(image.dataobj) == 100).any(tuple(a for a in range(3) if a != axis)))
    keep = [slice(None)] * 3
    keep[axis] = slice(None, inside[-1] - 6) if side else slice(inside[0] + 6, None)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [s.start or 0 for s in keep]
    cut = seen(nib.Nifti1Image(np.asarray(image.dataobj)[tuple(keep)], moved))
    assert cut.cut_off
    zeros = np.zeros(shape, np.float32)  # the same with the missing part as zeros
    zeros[tuple(keep)] = np.asarray(image.dataobj)[tuple(keep)]
    assert seen(nib.Nifti1Image(zeros, affine)).cut_off


@pytest.mark.parametrize("stripped", [False, True])
def test_a_stripped_brain_is_cut_off_by_what_lies_in_one_face(stripped: bool) -> None:
    limit = head.STRIPPED_CUT_MM2 if stripped else head.CUT_MM2
    for area, cut in ((limit - 1, False), (limit + 1, True)):
        seen_there = head.Head(np.zeros((1, 1, 1), np.uint8), 1e6, None, 0.0, cut_mm2=area, stripped=stripped)
        assert seen_there.cut_off == cut


@pytest.mark.parametrize("cut", [False, True])
def test_a_network_that_rounds_the_brain_off_before_the_edge_hides_no_cut(cut: bool) -> None:
    """As the real one does at the sides: it sees no brain within 6 mm of where the scan ends."""
    affine, shape = cube()
    data = np.asarray(phantom(affine, shape).dataobj)
    first = int(np.flatnonzero((data == 100).any((1, 2)))[0]) + 6 if cut else 0
    affine[:3, 3] += affine[:3, :3] @ [first, 0, 0]

    def shy(x: np.ndarray) -> np.ndarray:
        p = net(x)
        shown = ndimage.distance_transform_edt(np.pad(x > 0, 1))[1:-1, 1:-1, 1:-1] > 2
        p[1:] *= shown
        p[0] = 1 - p[1:].sum(0)
        return p

    found = head.see_head(nib.Nifti1Image(data[first:], affine), shy)
    assert found.cut_off == cut and found.cut_mm2 < head.CUT_MM2


def bright_is_brain(x: np.ndarray) -> np.ndarray:
    p = np.zeros((6, *x.shape), np.float32)
    p[head.HEAD_BRAIN[0]] = x > 0.75
    return p


def test_nothing_in_the_scan_is_no_head() -> None:
    affine, shape = cube(40)
    empty = head.see_head(nib.Nifti1Image(np.zeros(shape, np.float32), affine), net)
    assert empty.centre is None and empty.icv_mm3 == 0


@pytest.mark.parametrize("clean", [boxes.without_padding, boxes.without_background])
def test_padding_of_one_value_becomes_zero_and_data_stay(clean) -> None:
    data = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    assert clean(data) is data
    padded = np.pad(data + 100, 2, constant_values=-1000)
    assert (clean(padded)[2:-2, 2:-2, 2:-2] == data + 100).all()
    assert clean(padded)[0].max() == 0


@pytest.mark.parametrize("offset", [-1000, -300, 15])
def test_offset_of_all_values_is_taken_off(offset) -> None:
    data = 1 + np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    padded = np.pad(data, 2)
    assert (boxes.without_background(padded + offset) == padded).all()
    # values of a map mean something: only what is around it changes
    kept = boxes.without_padding(padded + offset)
    assert (kept[2:-2, 2:-2, 2:-2] == data + offset).all()


def test_padding_far_below_a_scan_is_no_offset() -> None:
    data = np.linspace(0, 2000, 30**3, dtype=np.float32).reshape(30, 30, 30)
    padded = np.pad(data, 3, constant_values=-1000)
    assert boxes.offset_of(padded) == 0
    assert boxes.without_background(padded).max() == 2000


def test_air_far_below_zero_is_an_offset_and_noise_around_zero_is_not() -> None:
    rng = np.random.default_rng(1)
    data = rng.normal(0, 3, (30, 30, 30)).astype(np.float32)
    data[8:22, 8:22, 8:22] += 100
    assert boxes.without_background(data) is data
    moved = boxes.without_background(data - 500)
    assert np.median(moved[0]) == pytest.approx(0, abs=1)
    assert np.median(moved[10:20, 10:20, 10:20]) == pytest.approx(100, abs=1)


def nested_head(rim_mm: float, scalp_mm: float, zooms: tuple[float, ...]) -> nib.Nifti1Image:
    """A brain (100) of 65 mm radius with a rim of fluid (30) and, where asked for, skull (0) and scalp (60)."""
    shape = tuple(int(210 / z) for z in zooms)
    affine = np.diag([*zooms, 1.0])
    r = np.sqrt(((world_coordinates(affine, shape) - 105) ** 2).sum(0))
    data = np.where(r <= 65, 100, np.where(r <= 65 + rim_mm, 30, 0))
    if scalp_mm:
        data = np.where((r > 75) & (r <= 75 + scalp_mm), 60, data)
    return nib.Nifti1Image(data.astype(np.float32), affine)


@pytest.mark.parametrize("zooms", [(2.0, 2.0, 2.0), (1.5, 2.0, 4.0)])
@pytest.mark.parametrize(("rim", "scalp", "stripped"), [(0, 0, True), (9, 0, True), (5, 14, False), (9, 20, False)])
def test_stripped_scans_with_a_wide_rim_are_told_from_whole_heads(
    rim: float, scalp: float, stripped: bool, zooms: tuple[float, ...]
) -> None:
    image = nested_head(rim, scalp, zooms)
    seen = head.see_head(image, bright_is_brain)
    assert seen.stripped == stripped
    low, high = (65 + rim, 65 + rim) if stripped else (65, 65 + head.ICV_MARGIN_MM)  # stripping draws the border
    sphere = [4 / 3 * np.pi * radius**3 for radius in (low - 2, high + 2)]
    assert sphere[0] < seen.icv_mm3 < sphere[1]
    assert looks_stripped(np.asarray(image.dataobj), seen.brain, zooms) == stripped


@pytest.mark.parametrize("background", [30.0, -1000.0])
@pytest.mark.parametrize(("rim", "scalp", "stripped"), [(9, 0, True), (5, 14, False)])
def test_a_background_that_is_not_0_hides_no_stripping(
    background: float, rim: float, scalp: float, stripped: bool
) -> None:
    image = nested_head(rim, scalp, (3.0, 3.0, 3.0))
    data = np.asarray(image.dataobj)
    seen = head.see_head(
        nib.Nifti1Image(np.where(data == 0, np.float32(background), data + 1), image.affine), bright_is_brain
    )
    assert seen.stripped == stripped
    radius = 65 + (rim if stripped else head.ICV_MARGIN_MM)
    assert seen.icv_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.09)


@pytest.mark.parametrize(
    ("level", "rim", "scalp", "stripped"), [(0.0, 9, 0, True), (30.0, 9, 0, True), (0.0, 5, 14, False)]
)
def test_faint_noise_of_the_background_hides_no_stripping(
    level: float, rim: float, scalp: float, stripped: bool
) -> None:
    image = nested_head(rim, scalp, (3.0, 3.0, 3.0))
    data = np.asarray(image.dataobj)
    noise = np.random.default_rng(7).normal(level, 1.5, data.shape)
    scan = np.where(data == 0, noise if level else np.abs(noise), data + level).astype(np.float32)
    seen = head.see_head(nib.Nifti1Image(scan, image.affine), lambda x: bright_is_brain(x * 100 / (100 + level)))
    assert seen.stripped == stripped
    radius = 65 + (rim if stripped else head.ICV_MARGIN_MM)
    assert seen.icv_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.09)
    assert looks_stripped(scan, seen.brain, (3.0, 3.0, 3.0)) == stripped


def turned(degrees: float, axis: str = "y") -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def look_along(axes: np.ndarray, *, thalami: bool = False) -> head.Look:
    """A look at a small brain with thalami or without, along these axes."""
    grid = boxes.grid_around(np.zeros(3), (9, 9, 9), head.HEAD_SPACING, axes)
    p = np.zeros((6, 9, 9, 9))
    p[4, 1:4, 3:6, 3:6] = p[5, 5:8, 3:6, 3:6] = thalami * 2
    return head.Look(p, grid, np.zeros((9, 9, 9)), np.ones((9, 9, 9), bool))


@pytest.mark.parametrize(
    ("missed", "again", "taken"),
    [(18, 0, False), (35, 33, True), (35, 0, False), (35, 80, False)],
    ids=["as pitch differs", "upright then", "still the same", "worse"],
)
def test_a_tilt_that_the_looks_missed_is_told_by_the_thalami(monkeypatch, missed, again, taken) -> None:
    first, second = look_along(np.eye(3)), look_along(turned(again), thalami=True)
    begun = []

    def settle(small, affine, net, centre, turn):
        begun.append(turn)
        return second

    monkeypatch.setattr(head, "settle", settle)
    got = head.upright(np.zeros((3, 3, 3)), np.eye(4), net, first, turned(missed))
    assert got is (second if taken else first)
    assert len(begun) == (missed > head.MISSED_DEGREES)
    for turn in begun:
        np.testing.assert_array_equal(turn, turned(missed))


@pytest.mark.data
@pytest.mark.parametrize(("axis", "degrees"), [("y", 35), ("x", 50), ("z", -40)])
def test_a_real_head_has_one_volume_however_it_is_tilted(axis: str, degrees: float) -> None:
    path = DATA_ROOT / "freesurfer6/sub-06/mri/T1.mgz"
    if not path.exists():
        pytest.skip("no freesurfer6 in the test data")
    scan, _ = to_ras(load_image(path))
    moved = np.eye(4)
    middle = boxes.world(scan.affine, (np.array(scan.shape) - 1) / 2)
    moved[:3, :3] = turned(degrees, axis)
    moved[:3, 3] = middle - moved[:3, :3] @ middle
    still, tilted = (head_of(one, "full") for one in (scan, resample_to(scan, scan, order=1, matrix=moved)))
    assert tilted.icv_mm3 == pytest.approx(still.icv_mm3, rel=0.01)
    assert tilted.centre is not None and still.centre is not None
    np.testing.assert_allclose(boxes.world(moved, tilted.centre), still.centre, atol=2)


def test_a_second_look_that_sees_no_thalami_is_not_taken(monkeypatch) -> None:
    first = look_along(np.eye(3))
    monkeypatch.setattr(head, "settle", lambda *arguments: look_along(turned(35)))
    assert head.upright(np.zeros((3, 3, 3)), np.eye(4), lambda x: x, first, turned(35)) is first
