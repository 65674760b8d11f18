"""MindGlide as a method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests import checkpoints
from tests.unit.inference.test_mindglide import head, levels
from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.errors import ImageError, MissingToolError
from thalbids.inference import mindglide as network
from thalbids.methods import envelope
from thalbids.methods.base import Request
from thalbids.methods.mindglide import EnvelopeSettings, MindGlide
from thalbids.programs import MindGlideSettings
from thalbids.settings import MethodSettings, load

METHOD = MindGlide()
SHAPE = (50, 46, 36)


def test_names_of_given_results_may_be_spelled_as_the_tool_is(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "ses-1" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-01_ses-1_label-thalamus_desc-mindglideT1w_mask.nii.gz").write_bytes(b"x")
    settings = load(None, {"inputs": {"derivatives": {"MindGlide": str(tmp_path)}}})
    made = planned_session(session(("T1w",)), OUT, (MindGlide(),), settings, set())
    assert made.origins["mindglideT1w"].startswith("given, bids:MindGlide:sub-01/")


def requests(tmp_path: Path, **options: Any) -> dict[str, Request]:
    """Two images and the mask of an envelope in their middle, with MindGlide's settings as given."""
    checkpoint = checkpoints.mindglide_layout(tmp_path / "model.pt")
    program = MindGlideSettings(engine="thalbids", checkpoint=checkpoint, **options)
    settings = MethodSettings((program, EnvelopeSettings("synthal")))
    mask = np.zeros(SHAPE, np.uint8)
    mask[13:24, 12:34, 10:26], mask[26:37, 12:34, 10:26] = 10, 49
    params = METHOD.params(settings)
    return {
        name: Request(
            name,
            nib.Nifti1Image(head(SHAPE, seed), np.eye(4)),
            tmp_path,
            (0, 0, 0),
            params,
            tmp_path,
            settings=settings,
            masks={"synthal": mask},
        )
        for seed, name in enumerate(("T1w", "FLAIR"))
    }


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A network that needs no weights, in place of that of the checkpoint; how often it was asked for."""
    calls: list[tuple[Any, ...]] = []

    class Net:
        def __call__(self, window: np.ndarray) -> np.ndarray:
            return levels(window)

        def rest(self) -> None:
            """Nothing to give back."""

    def load(*what: Any) -> Any:
        calls.append(what)
        return Net()

    monkeypatch.setattr(network, "load", load)
    return calls


def test_thalbids_labels_all_images_near_the_envelope_with_one_network(
    tmp_path: Path, loaded: list[tuple[Any, ...]]
) -> None:
    asked = requests(tmp_path)
    found, failed = METHOD.label_maps(asked)
    whole, _ = METHOD.label_maps(requests(tmp_path, extent="head"))
    assert set(found) == {"T1w", "FLAIR"} and not failed
    assert [(path, *rest) for path, _, *rest in loaded] == [(tmp_path / "model.pt", "full", 1)] * 2  # once a call
    around = envelope.near(asked["T1w"].masks["synthal"] > 0, np.eye(4))
    for name, made in found.items():
        assert (made.labels[around] == whole[name].labels[around]).all() and (made.labels[around] > 0).any()
        assert np.count_nonzero(made.labels) < np.count_nonzero(whole[name].labels)
        assert made.metadata["Extent"] == "envelope" and made.metadata["Precision"] == "full"
        assert made.metadata["Envelope"] == "synthal" and "0 elsewhere" in made.metadata["Description"]
        assert made.metadata["Software"][0]["Version"] == "1.3.0, engine of thalbids 2"
        cut = METHOD.segment(replace(asked[name], labels=made.labels, told=made.metadata))
        everywhere = METHOD.segment(replace(asked[name], labels=whole[name].labels, told=whole[name].metadata))
        assert (cut.labels == everywhere.labels).all() and cut.labels.any()
        assert cut.metadata["EnvelopeDependence"] == everywhere.metadata["EnvelopeDependence"]
        assert "Description" not in whole[name].metadata and cut.metadata["Extent"] == "envelope"


def test_an_image_that_fails_leaves_the_other(tmp_path: Path, loaded: list[tuple[Any, ...]]) -> None:
    asked = requests(tmp_path)
    empty = nib.Nifti1Image(np.full(SHAPE, -1, np.float32), np.eye(4))
    found, failed = METHOD.label_maps(asked | {"FLAIR": replace(asked["FLAIR"], image=empty)})
    assert set(found) == {"T1w"} and "no voxel of the image is above 0" in failed["FLAIR"]
    with pytest.raises(ImageError, match="segmented none of 1 images: no voxel"):
        METHOD.label_maps({"FLAIR": replace(asked["FLAIR"], image=empty)})
    without = {name: replace(one, masks={"synthal": np.zeros(SHAPE, np.uint8)}) for name, one in asked.items()}
    with pytest.raises(ImageError, match="thalamus of synthal is empty"):
        METHOD.label_maps(without)


def test_a_checkpoint_that_went_bad_stops_with_what_to_do(tmp_path: Path) -> None:
    asked = requests(tmp_path)
    with pytest.raises(MissingToolError, match=r"numbers of input_block.* are damaged.*Fetch it again"):
        METHOD.label_maps(asked)  # the layout is there, the numbers are not
    (tmp_path / "model.pt").unlink()
    with pytest.raises(MissingToolError, match=r"is not there.*thalbids fetch mindglide"):
        METHOD.label_maps(asked)


def test_what_its_own_program_made_stays_current(tmp_path: Path) -> None:
    """The parameters with ``engine = "upstream"`` are those of before there was another engine."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    own = MindGlideSettings(engine="upstream", checkpoint=tmp_path / "model.pt", command=("no-such-program",))
    settings = MethodSettings((own,))
    assert set(METHOD.params(settings)) == {"Software", "Weights", "Reorient", "KeepLargest", "Envelope"}
    assert METHOD.maps_build_on(settings) == () and METHOD.memory(settings) == METHOD.memory_gb
    ours = MethodSettings((MindGlideSettings(engine="thalbids", checkpoint=tmp_path / "model.pt"),))
    assert METHOD.maps_build_on(ours) == ("first",) and METHOD.memory(ours) < 3
    assert set(METHOD.params(ours)) - set(METHOD.params(settings)) == {"Extent", "Precision"}
