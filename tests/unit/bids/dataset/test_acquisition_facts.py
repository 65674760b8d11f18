"""Acquisition facts from header, name and sidecar."""

from __future__ import annotations

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids.dataset import acquisition_facts
from thalbids.engine.params import as_json
from thalbids.types import InputImage


def image(folder: Path, axes: str = "RAS", sizes=(0.9, 0.8, 3.0), shape=(20, 30, 10), **more) -> InputImage:
    """An image whose voxel sizes along right, anterior, superior are known, stored in any order."""
    order = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    ras = nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([*sizes, 1.0]))
    path = folder / "sub-01_T1w.nii.gz"
    nib.save(ras.as_reoriented(order), path)
    return InputImage(path, "bids:raw:x", "T1w", more.get("entities", {}), more.get("metadata", {}))


def test_a_header_is_read_when_it_is_asked_for_and_another_process_gets_what_it_says(tmp_path: Path) -> None:
    scan = image(tmp_path)
    content = scan.path.read_bytes()
    scan.path.unlink()
    acquired = acquisition_facts.Acquisition(scan)  # as in a plan, whose images need not be looked at
    scan.path.write_bytes(content)
    assert acquired["voxel_size_mm"] == [0.9, 0.8, 3.0]
    sent = pickle.loads(pickle.dumps(acquired))
    assert type(sent) is dict and sent == acquired == acquisition_facts.facts(scan)
    assert as_json({"T1w": acquired}) == {"T1w": sent}


@pytest.mark.parametrize("axes", ["RAS", "LIA", "PSR", "ILP"])
def test_sizes_are_those_of_the_world_in_any_storage_order(tmp_path: Path, axes: str) -> None:
    found = acquisition_facts.facts(image(tmp_path, axes))
    assert found["voxel_size_mm"] == [0.9, 0.8, 3.0]
    assert found["field_of_view_mm"] == [18.0, 24.0, 30.0]
    assert (found["slice_thickness_mm"], found["slice_direction"]) == (3.0, "axial")


def test_an_interpolated_scan_keeps_the_thickness_of_its_slices(tmp_path: Path) -> None:
    found = acquisition_facts.facts(image(tmp_path, sizes=(1, 1, 1), metadata={"SliceThickness": 5}))
    assert (found["slice_thickness_mm"], found["slice_direction"]) == (5.0, None)


def test_sidecars_give_scanner_and_times_and_no_dates(tmp_path: Path) -> None:
    told = {
        "Manufacturer": "Siemens", "ManufacturersModelName": "Prisma", "MagneticFieldStrength": 3,
        "RepetitionTime": 2.5, "EchoTime": [0.00222, 0.004], "InversionTime": 1, "FlipAngle": "8",
        "AcquisitionDateTime": "2020-01-02T03:04:05", "DeviceSerialNumber": "12345", "PatientName": "X",
    }  # fmt: skip
    found = acquisition_facts.facts(image(tmp_path, metadata=told))
    assert found["scanner"] == "Siemens Prisma"
    assert (found["field_strength_t"], found["repetition_time_s"], found["echo_time_s"]) == (3.0, 2.5, 0.00222)
    assert found["flip_angle_deg"] is None  # text is no number
    assert "2020" not in str(found) and "12345" not in str(found)
    shown = acquisition_facts.words(found)
    assert shown["TR / TE / TI"] == "2500 ms / 2.22 ms / 1000 ms"
    assert shown["Scanner"] == "Siemens Prisma 3 T"
    assert shown["Slices"] == "3 mm axial"


@pytest.mark.parametrize(
    ("entities", "metadata", "agent"),
    [
        ({"ce": "gad"}, {}, "ce-gad"),
        ({}, {"ContrastBolusIngredient": "GADOLINIUM"}, "GADOLINIUM"),
        ({}, {"ContrastBolusIngredient": ["GADOLINIUM", "IODINE"]}, "GADOLINIUM, IODINE"),
        ({}, {"ContrastBolusIngredient": "none"}, None),
        ({}, {"ContrastBolusIngredient": ""}, None),
        ({}, {}, None),
    ],
)
def test_contrast_agents_by_name_and_sidecar(entities, metadata, agent) -> None:
    assert acquisition_facts.contrast_agent(entities, metadata) == agent


def test_an_image_that_cannot_be_read_has_no_sizes(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.write_bytes(b"not an image")
    found = acquisition_facts.facts(InputImage(path, "", "T1w", {}, {"MagneticFieldStrength": 1.5}))
    assert found["voxel_size_mm"] is None and found["slice_thickness_mm"] is None
    assert found["field_strength_t"] == 1.5
    assert acquisition_facts.words(found) == {"Scanner": "1.5 T", "Contrast agent": "none named"}
