"""From files of a phantom to maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import Sidecars
from thalbids.errors import ImageError, UsageError
from thalbids.files import write_json
from thalbids.image.io import save_image
from thalbids.qmri import phantom
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.align import align, motion
from thalbids.qmri.fields import read_field, read_receive
from thalbids.qmri.models.flash import ernst
from thalbids.qmri.models.mp2rage import Mp2rage, simulate
from thalbids.qmri.reconstruct import Options, head_mask, reconstruct, transmit_on
from thalbids.registration.strategies import configured
from thalbids.types import InputImage, Session

SHAPE = (44, 52, 46)
AFFINE = np.array([[4.0, 0, 0, -88], [0, 4.0, 0, -104], [0, 0, 4.0, -92], [0, 0, 0, 1]])
SCANNER = phantom.Scanner(phantom.PAPER_PROTOCOL, phantom.PAPER_TIMES[:3], noise=0.002)


def read(root: Path) -> Session:
    """The raw images of sub-01."""
    return Session("01", None, {}, raw=raw_images(root / "sub-01", Sidecars(root))[0])


@pytest.fixture(scope="module")
def still() -> phantom.Properties:
    return phantom.properties_of(phantom.head(SHAPE, AFFINE))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, still: phantom.Properties) -> Session:
    """A session without motion."""
    root = tmp_path_factory.mktemp("phantom")
    write_json(root / "dataset_description.json", {"Name": "phantom", "BIDSVersion": "1.11.1"})
    phantom.write_mpm(root / "sub-01", "sub-01", lambda _: still, AFFINE, SCANNER)
    return read(root)


def tissue(still: phantom.Properties) -> np.ndarray:
    return still.density > 0


def test_maps_are_those_of_the_phantom(measured: Session, still: phantom.Properties) -> None:
    maps = reconstruct(read_acquisition(measured, "MPM"), read_field(measured), options=Options(b1_fwhm=0))
    inside = tissue(still)
    field = phantom.transmit_field(SHAPE, AFFINE)
    assert maps.transmit is not None
    inner = np.s_[2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(maps.transmit[inner], field[inner], atol=1e-3)
    for suffix, truth, limit in (
        ("R1map", still.r1, 0.01), ("R2starmap", still.r2star, 1.5), ("MTsat", 100 * still.saturation, 0.12),
    ):  # fmt: skip
        value = maps.values[suffix]
        if suffix == "MTsat":  # the factor for the residual of the field is one of tissue, not of this phantom
            value = value / (0.6 / (1 - 0.4 * field))
        assert np.median(np.abs(value - truth)[inside]) < limit, suffix
    white = still.r1 == phantom.TISSUES["white"].r1
    fluid = still.r1 == phantom.TISSUES["fluid"].r1
    ratio = np.median(maps.values["PDmap"][fluid]) / np.median(maps.values["PDmap"][white])
    assert ratio == pytest.approx(100 / 69, rel=0.01)
    assert set(maps.errors) == {"R1map", "R2starmap", "PDmap", "MTsat"}
    assert maps.described["EstimationReference"] == "Weiskopf et al. 2014, doi:10.3389/fnins.2014.00278"


def test_without_field_the_bias_is_told(measured: Session) -> None:
    maps = reconstruct(read_acquisition(measured, "MPM"))
    assert maps.transmit is None
    assert "no B1+ map" in str(maps.described["B1Plus"])
    assert any("not corrected for B1+" in note for note in maps.notes)


def test_result_does_not_depend_on_threads(measured: Session) -> None:
    acquisition = read_acquisition(measured, "MPM")
    turn = np.eye(4)
    turn[0, 3] = 3.0
    one, two = (reconstruct(acquisition, None, {"T1w": turn}, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.values["R1map"], two.values["R1map"])


def test_spoiling_set_of_another_protocol_is_refused(measured: Session) -> None:
    with pytest.raises(UsageError, match="v2k is for PDw images of 6 degrees"):
        reconstruct(
            read_acquisition(measured, "MPM"), read_field(measured), options=Options("small-angle", spoiling="v2k")
        )


@pytest.mark.slow
def test_motion_between_contrasts_is_found_and_undone(tmp_path: Path, still: phantom.Properties) -> None:
    """The head turned by 8 degrees and moved by 12 mm before T1w: R1 away from edges is right again."""
    angle = np.deg2rad(8)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = (7.0, -9.0, 4.0)
    away = phantom.properties_of(phantom.head(SHAPE, np.linalg.inv(matrix) @ AFFINE))
    phantom.write_mpm(tmp_path / "sub-01", "sub-01", lambda name: away if name == "T1w" else still, AFFINE, SCANNER)
    session = read(tmp_path)
    acquisition = read_acquisition(session, "MPM")
    outcome = align(acquisition.part("PDw"), acquisition.part("T1w"), configured(["ants"]), bins=32, seed=1)
    assert outcome.matrix is not None
    corners = np.array([[x, y, z, 1.0] for x in (-60, 60) for y in (-80, 80) for z in (-60, 60)]).T
    assert np.abs((outcome.matrix - matrix) @ corners).max() < 3.0  # mm; voxels of 4 mm, a head almost round
    field = read_field(session)
    undone, left = (
        reconstruct(acquisition, field, m, Options(b1_fwhm=0, interpolation="linear"))
        for m in ({"T1w": outcome.matrix}, {})
    )
    even = ndimage.minimum_filter(still.r1, 3) == ndimage.maximum_filter(still.r1, 3)  # voxels away from edges
    wrong = [np.mean(np.abs(maps.values["R1map"] - still.r1)[even & tissue(still)] > 0.05) for maps in (undone, left)]
    assert wrong[0] < 0.01
    assert wrong[1] > 0.03
    shift, turned = motion(outcome.matrix, undone.reference)
    assert turned == pytest.approx(8, abs=1.5)
    assert shift == pytest.approx(12.1, abs=2.0)


def test_head_mask_is_the_head(measured: Session, still: phantom.Properties) -> None:
    image = nib.load(read_acquisition(measured, "MPM").parts[0].images[0].path)
    mask = np.asarray(head_mask(image).dataobj) > 0
    inside = tissue(still)
    assert 2 * np.count_nonzero(mask & inside) / (mask.sum() + inside.sum()) > 0.95


def volumes(folder: Path, suffix: str, images: dict[str, np.ndarray], metadata: dict[str, dict]) -> Session:
    """A session of images by their entities."""
    made = []
    for name, data in images.items():
        path = folder / f"sub-01_{name}_{suffix}.nii.gz"
        save_image(data.astype(np.float32), AFFINE, path)
        entities = dict(part.split("-", 1) for part in name.split("_"))
        made.append(InputImage(path, "", suffix, entities, metadata[name]))
    return Session("01", None, {}, raw=tuple(made))


R1 = np.linspace(0.4, 1.6, 1000).reshape(10, 10, 10)


def test_vfa_from_files(tmp_path: Path) -> None:
    angles = {"flip-1": 3.0, "flip-2": 20.0}
    images = {name: ernst(1000.0, R1, np.deg2rad(a), 0.015) for name, a in angles.items()}
    metadata = {name: {"FlipAngle": a, "RepetitionTimeExcitation": 0.015} for name, a in angles.items()}
    maps = reconstruct(read_acquisition(volumes(tmp_path, "VFA", images, metadata), "VFA"))
    np.testing.assert_allclose(maps.values["R1map"], R1, rtol=1e-4)
    assert maps.described["Fit"] == "nonlinear"


def test_voxels_without_signal_stay_undefined_when_an_image_is_moved(tmp_path: Path) -> None:
    angles = {"flip-1": 3.0, "flip-2": 20.0}
    images = {name: ernst(1000.0, R1, np.deg2rad(a), 0.015) for name, a in angles.items()}
    images["flip-2"][3:6, 4, 5] = np.nan
    metadata = {name: {"FlipAngle": a, "RepetitionTimeExcitation": 0.015} for name, a in angles.items()}
    made = volumes(tmp_path, "VFA", images, metadata)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt("ASL"))
    second = made.raw[1].path
    nib.save(nib.load(second).as_reoriented(turn), second)
    maps = reconstruct(read_acquisition(made, "VFA"))
    assert maps.undefined[3:6, 4, 5].all() and maps.undefined.sum() == 3
    np.testing.assert_allclose(maps.values["R1map"][:, 7:], R1[:, 7:], rtol=1e-4)


def test_inversion_recovery_from_files(tmp_path: Path) -> None:
    times = {"inv-1": 0.05, "inv-2": 0.4, "inv-3": 1.1, "inv-4": 2.5}
    images = {name: np.abs(900 * (1 - 1.9 * np.exp(-t * R1))) for name, t in times.items()}
    metadata = {name: {"InversionTime": t} for name, t in times.items()}
    maps = reconstruct(read_acquisition(volumes(tmp_path, "IRT1", images, metadata), "IRT1"))
    np.testing.assert_allclose(maps.values["R1map"], R1, rtol=0.01)  # less near the null of a signal


PROTOCOL = Mp2rage(5.5, (0.0062, 0.0062), (0.8, 2.7), (5.0, 7.0), (79, 80))
MP2RAGE = {"RepetitionTimePreparation": 5.5, "RepetitionTimeExcitation": 0.0062, "NumberShots": 159}


def mp2rage(folder: Path, phase_scale: float = 1.0, units: str | None = "rad") -> Session:
    images, metadata = {}, {}
    turn = R1  # rad; any, but the same in both images
    for inversion, (signal, ti, a) in enumerate(zip(simulate(PROTOCOL, 1 / R1), (0.8, 2.7), (5, 7), strict=True), 1):
        phase = np.where(signal < 0, np.pi, 0) + turn
        for part, data in (("mag", 1000 * np.abs(signal)), ("phase", phase * phase_scale)):
            name = f"inv-{inversion}_part-{part}"
            images[name] = data
            metadata[name] = (
                MP2RAGE | {"InversionTime": ti, "FlipAngle": a} | ({"Units": units} if part == "phase" else {})
            )
    return volumes(folder, "MP2RAGE", images, metadata)


@pytest.mark.parametrize(("scale", "units"), [(1.0, "rad"), (4096 / (2 * np.pi), None)])
def test_mp2rage_from_files(tmp_path: Path, scale: float, units: str | None) -> None:
    maps = reconstruct(read_acquisition(mp2rage(tmp_path, scale, units), "MP2RAGE"))
    np.testing.assert_allclose(maps.values["R1map"], R1, rtol=1e-3)


def test_mp2rage_of_real_and_imaginary_parts(tmp_path: Path) -> None:
    signals = np.stack(simulate(PROTOCOL, 1 / R1)) * 1000 * np.exp(1j * 4 * R1)
    images, metadata = {}, {}
    for inversion, (signal, ti, a) in enumerate(zip(signals, (0.8, 2.7), (5, 7), strict=True), 1):
        for part, data in (("real", signal.real), ("imag", signal.imag)):
            images[f"inv-{inversion}_part-{part}"] = data
            metadata[f"inv-{inversion}_part-{part}"] = MP2RAGE | {"InversionTime": ti, "FlipAngle": a}
    made = volumes(tmp_path, "MP2RAGE", images, metadata)
    maps = reconstruct(read_acquisition(made, "MP2RAGE"))
    np.testing.assert_allclose(maps.values["R1map"], R1, rtol=1e-3)
    images["inv-2_part-imag"] += 5000
    with pytest.raises(ImageError, match="imaginary part has no negative value"):
        reconstruct(read_acquisition(volumes(tmp_path, "MP2RAGE", images, metadata), "MP2RAGE"))


def test_phase_of_no_known_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="without the unit rad"):
        reconstruct(read_acquisition(mp2rage(tmp_path, 1.0, None), "MP2RAGE"))


def test_unit1_as_scanners_store_it(tmp_path: Path) -> None:
    first, second = simulate(PROTOCOL, 1 / R1)
    stored = np.rint(4095 * (first * second / (first**2 + second**2) + 0.5))
    session = volumes(tmp_path, "UNIT1", {"run-1": stored}, {
        "run-1": MP2RAGE | {"InversionTime": [0.8, 2.7], "FlipAngle": [5, 7]}})  # fmt: skip
    maps = reconstruct(read_acquisition(session, "UNIT1"))
    np.testing.assert_allclose(maps.values["R1map"], R1, rtol=5e-3)


def test_field_of_two_grids_is_refused(tmp_path: Path) -> None:
    images = {"flip-1": R1, "flip-2": R1[..., :9]}
    metadata = {"flip-1": {"FlipAngle": 60}, "flip-2": {"FlipAngle": 120}}
    field = read_field(volumes(tmp_path, "TB1DAM", images, metadata))
    assert field is not None
    with pytest.raises(ImageError, match="differ in shape"):
        transmit_on(field, nib.Nifti1Image(np.ones((10, 10, 10)), AFFINE), Options())


def test_field_reaches_beyond_its_edge_by_smoothing(tmp_path: Path) -> None:
    data = np.zeros((20, 20, 20))
    data[5:15, 5:15, 5:15] = 95.0
    field = read_field(volumes(tmp_path, "TB1map", {"run-1": data}, {"run-1": {"Units": "percent"}}))
    assert field is not None
    reference = nib.Nifti1Image(np.ones((20, 20, 20)), AFFINE)
    plain, wide = (transmit_on(field, reference, replace(Options(), b1_fwhm=f))[0] for f in (0.0, 16.0))
    assert np.isnan(plain[4, 10, 10])
    assert wide[4, 10, 10] == pytest.approx(0.95, abs=1e-5)
    assert "in percent" in transmit_on(field, reference, Options())[1]


def test_receive_field_between_contrasts_is_taken_out(
    tmp_path: Path, measured: Session, still: phantom.Properties
) -> None:
    """Motion in the field of the array: T1w is 1.2 times as bright on the left, R1 with it, unless RB1COR tells."""
    acquisition = read_acquisition(measured, "MPM").without(("MTw",))
    tilt = 1 + 0.2 * np.linspace(-1, 1, SHAPE[0])[:, None, None] * np.ones(SHAPE)
    files, pairs = {}, {}
    for part in acquisition.parts:
        bright = tilt if part.name == "T1w" else np.ones(SHAPE)
        for image in part.images:
            files[image.path] = tmp_path / image.path.name
            save_image(np.asarray(nib.load(image.path).dataobj) * bright, AFFINE, files[image.path])
        for coil, factor in (("head", 3 * bright), ("body", np.ones(SHAPE))):
            path = tmp_path / f"sub-01_acq-{coil}{part.name}_RB1COR.nii.gz"
            save_image(factor * (5 + still.density), AFFINE, path)
            pairs[coil + part.name] = InputImage(path, f"bids:raw:{path.name}", "RB1COR", {"acq": coil + part.name})
    receive = read_receive(Session("01", None, {}, raw=tuple(pairs.values())), acquisition)
    options = Options(b1_fwhm=0, receive_fwhm=4)
    maps = [
        reconstruct(acquisition.reading(files), read_field(measured), options=options, receive=r)
        for r in (None, receive)
    ]
    error = [np.abs(m.values["R1map"] - still.r1)[tissue(still)] for m in maps]
    assert np.quantile(error[0], 0.9) > 0.1 and np.quantile(error[1], 0.9) < 0.02
    assert "each contrast by its own" in str(maps[1].described["ReceiveField"])


@pytest.mark.parametrize(("shift", "said"), [(40.0, "TB1map covers"), (300.0, "")])
def test_a_field_that_misses_the_head(measured: Session, tmp_path: Path, shift: float, said: str) -> None:
    field = read_field(measured)
    assert field is not None
    image = nib.load(field.images[0].path)
    moved = np.eye(4)
    moved[2, 3] = shift
    path = tmp_path / "sub-01_TB1map.nii.gz"
    save_image(np.asarray(image.dataobj), moved @ image.affine, path)
    away = replace(field, images=(replace(field.images[0], path=path),))
    if said:
        notes = reconstruct(read_acquisition(measured, "MPM"), away, options=Options(b1_fwhm=0)).notes
        assert any(note.startswith(said) for note in notes)
    else:
        with pytest.raises(ImageError, match="cover 0 % of the head"):
            reconstruct(read_acquisition(measured, "MPM"), away)
