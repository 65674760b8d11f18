"""The QC document: rules, flags in words, schema."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from thalbids import qc
from thalbids.errors import MetadataError
from thalbids.qc import MaskInput
from thalbids.qc.document import schema
from thalbids.reports.text import Words

SHAPE = (70, 80, 60)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def head() -> np.ndarray:
    """A brain-sized ellipsoid, 1.1 L."""
    grid = np.indices(SHAPE) - np.array([35, 40, 30]).reshape(3, 1, 1, 1)
    return ((grid / np.array([31.0, 39.0, 28.0]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 1


def thalami(left=(29, 42, 29), right=(41, 42, 29), radius: float = 5.8) -> np.ndarray:
    """Balls of 6.5 mL where the brain mask expects them."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, centre in ((10, left), (49, right)):
        grid = np.indices(SHAPE) - np.array(centre).reshape(3, 1, 1, 1)
        labels[(grid**2).sum(0) <= radius**2] = value
    return labels


def document(labels=None, others=None, **more) -> dict:
    masks = {"synthalT1w": MaskInput(thalami() if labels is None else labels, "synthal", ("T1w",)), **(others or {})}
    return qc.build(subject="01", session="2", affine=AFFINE, masks=masks, brain=head(), **more)


def one_label_torn() -> np.ndarray:
    """Both thalami apart from each other under one label, every third slice left out."""
    mask = thalami(radius=6.2, left=(28, 42, 29), right=(42, 42, 29)) != 0
    return (mask & (np.arange(SHAPE[2]) % 3 != 0)).astype(np.uint8)


def raised(doc: dict) -> set[str]:
    return {flag["rule"] for flag in doc["Flags"]}


def test_a_good_session_has_no_flags_and_a_trusted_mask():
    doc = document(icv=[{"source": "synthal", "icv_mm3": 1.35e6}])
    assert doc["Flags"] == []
    assert doc["Masks"]["synthalT1w"]["trusted"]
    assert doc["Brain"]["icv_fraction"] == pytest.approx(0.84, abs=0.02)


@pytest.mark.parametrize(
    ("labels", "rule", "severity"),
    [
        (np.zeros(SHAPE, np.uint8), "empty", "distrust"),
        (np.where(np.arange(SHAPE[2]) % 3 == 0, 0, thalami(radius=6.2)).astype(np.uint8), "torn_left", "distrust"),
        (one_label_torn(), "torn", "distrust"),
        (thalami(radius=3), "volume_left", "distrust"),
        (thalami(radius=8, left=(26, 42, 29), right=(44, 42, 29)), "volume_right", "distrust"),
        (thalami(left=(41, 42, 29), right=(29, 42, 29)), "left_right_swapped", "distrust"),
        (thalami(left=(29, 55, 29), right=(41, 55, 29)), "centre_distance", "distrust"),
        (thalami(left=(29, 42, 7), right=(41, 42, 3)), "inside_brain", "distrust"),
        (thalami(left=(29, 42, 29), right=(41, 42, 58)), "field_of_view", "distrust"),
        (thalami(left=(25, 42, 29), right=(45, 42, 29)), "separation", "check"),
    ],
)
def test_each_implausible_mask_is_flagged_in_words(labels, rule, severity):
    doc = document(labels)
    assert rule in raised(doc)
    flag = next(flag for flag in doc["Flags"] if flag["rule"] == rule)
    assert flag["severity"] == severity
    assert flag["scope"] == "mask:synthalT1w"
    assert "{" not in flag["reason"]
    assert flag["advice"]
    if severity == "distrust":
        assert not doc["Masks"]["synthalT1w"]["trusted"]


def test_a_whole_mask_without_sides_is_not_torn():
    assert "torn" not in raised(document((thalami() != 0).astype(np.uint8)))


def test_an_empty_mask_raises_one_flag_only():
    assert raised(document(np.zeros(SHAPE, np.uint8))) == {"empty"}


def test_agreement_compares_only_independent_masks():
    moved = np.roll(thalami(), 4, axis=1)
    others = {
        "synthalFLAIR": MaskInput(moved, "synthal", ("FLAIR",)),
        "synthalT1FLAIR": MaskInput(np.maximum(moved, thalami()), "synthal", ("T1w", "FLAIR")),
        "first": MaskInput(thalami(radius=5.7), "first", ("T1w",)),
    }
    doc = document(others=others)
    masks = {name: mask["measures"] for name, mask in doc["Masks"].items()}
    assert masks["synthalT1FLAIR"]["best_dice_same_family"] is None
    assert masks["synthalFLAIR"]["best_dice_same_family"] == masks["synthalT1w"]["dice"]["synthalFLAIR"] < 0.6
    assert masks["synthalT1w"]["best_dice_same_family"] is None  # the only other one is the odd one out
    assert masks["first"]["best_dice_other_family"] == masks["first"]["dice"]["synthalT1w"]
    assert masks["synthalT1w"]["dice"]["first"] == masks["first"]["dice"]["synthalT1w"]
    assert {(f["scope"], f["rule"]) for f in doc["Flags"]} == {("mask:synthalFLAIR", "odd_one_out")}


def test_a_mask_and_its_envelope_are_not_independent() -> None:
    cut = {
        "first": MaskInput(thalami(radius=5), "first", ("T1w",)),
        "mindglideT1w": MaskInput(thalami(radius=5), "mindglide", ("T1w",), builds_on=("first",)),
    }
    doc = document(others=cut)
    masks = {name: mask["measures"] for name, mask in doc["Masks"].items()}
    with_synthal = masks["mindglideT1w"]["dice"]["synthalT1w"]
    assert masks["mindglideT1w"]["dice"]["first"] == 1.0
    assert masks["mindglideT1w"]["best_dice_other_family"] == with_synthal < 1
    assert masks["first"]["best_dice_other_family"] == with_synthal


@pytest.mark.parametrize(("icv", "flagged"), [(0.85e6, True), (0.9e6, False), (2.2e6, False), (2.3e6, True)])
def test_icv_limits_are_allowed_values(icv, flagged):
    assert ("icv" in raised(document(icv=[{"source": "synthal", "icv_mm3": icv}]))) == flagged


def test_brain_out_of_range_or_cut_off():
    brain = head()
    brain[:, :, 40:] = False
    small = qc.build(subject="1", session=None, affine=AFFINE, masks={}, brain=brain[20:50, 20:60, 10:41])
    assert raised(small) == {"brain_volume", "brain_cut_off"}


def test_voxels_that_are_a_fifth_too_large_are_told_of_the_image_and_exclude_no_mask():
    """Balls of 6.5 mL become 22.6 mL together; by the volume of another skull nothing is told."""
    large, brain = np.diag([2.4, 2.4, 2.4, 1.0]), head()
    masks = {"synthalT1w": MaskInput(thalami(), "synthal", ("T1w",)), "none": MaskInput(None, "first", ("T1w",))}
    told = {"subject": "1", "session": None, "affine": large, "masks": masks, "brain": brain}
    given = {"source": "given", "icv_mm3": 1.4e6}
    doc = qc.build(**told, icv=[given, {"source": "synthal", "icv_mm3": 2.17e6}])
    (flag,) = [flag for flag in doc["Flags"] if flag["rule"] == "voxel_sizes"]
    assert flag["scope"] == "image:T1w" and "2.17 L" in flag["reason"] and "22." in flag["reason"]
    assert doc["Masks"]["synthalT1w"]["trusted"]
    assert "voxel_sizes" not in raised(qc.build(**told, icv=[given]))


def test_an_excluded_registration_is_flagged():
    attempts = [
        {"strategy": "ants", "interpolation": "linear", "metric": "MI (nats)", "mi": 0.12, "cutoff": 0.3,
         "passed": False, "reason": "below the cut-off"},
        {"strategy": "fslmi", "interpolation": "spline", "metric": "MI (nats)", "mi": None, "cutoff": 0.25,
         "passed": False},
    ]  # fmt: skip
    entry = {
        "image": "FLAIR",
        "chosen": None,
        "reason": "all strategies failed",
        "excluded": True,
        "attempts": attempts,
    }
    doc = document(registrations=[entry])
    (flag,) = doc["Flags"]
    assert (flag["scope"], flag["value"]) == ("registration:FLAIR", 0.12)
    assert "all strategies failed" in flag["reason"]
    good = {**entry, "chosen": "ants", "excluded": False}
    assert document(registrations=[good])["Flags"] == []


def test_what_the_gate_warns_of_is_a_flag_and_its_record_is_valid(tmp_path):
    from thalbids.registration.gate import Attempt

    attempt = Attempt(
        "ants",
        "ants",
        "linear",
        0.3,
        "ANTsPy 0.6",
        mi=0.4,
        coverage=0.9,
        sharpness=0.45,
        gain=-0.1,
        passed=True,
        warnings=("the match is not sharp",),
    )
    other = Attempt("fslmi", "fsl", "spline", 0.25, "FSL 6", reason="no transform was found")
    attempts = [other.to_json(), attempt.to_json()]
    entry = {"image": "FLAIR", "chosen": "ants", "reason": "", "excluded": False, "attempts": attempts}
    doc = document(registrations=[entry])
    assert [flag["reason"] for flag in doc["Flags"]] == ["FLAIR: the match is not sharp."]
    qc.write(tmp_path / "qc.json", doc)


def test_a_broken_reference_is_the_first_flag_and_what_waits_for_it_raises_none():
    waiting = {"chosen": None, "reason": "T1w failed: cut off", "excluded": True, "attempts": []}
    doc = qc.build(
        subject="01", session="2", affine=None,
        masks={"synthalT1w": MaskInput(None, "synthal", ("T1w",), "failed", "T1w failed: cut off")},
        images={
            "FLAIR": {"source": "bids:raw:y", "status": "failed", "reason": "T1w failed: cut off", "notes": []},
            "T1w": {"source": "bids:raw:x", "status": "failed", "reason": "x.nii.gz: cut off", "notes": []},
        },
        registrations=[{"image": name, **waiting} for name in ("FLAIR", "R1map")],
    )  # fmt: skip
    assert [(flag["scope"], flag["rule"], flag["severity"]) for flag in doc["Flags"]] == [
        ("image:T1w", "reference_failed", "distrust")
    ]
    assert doc["Flags"][0]["reason"] == "The T1w cannot be used: x.nii.gz: cut off."
    assert [entry["excluded"] for entry in doc["Registrations"]] == [True, True]
    words = Words(doc, {"synthalT1w": "SynThal T1w"})
    assert words.verdict() == "No mask was made: the T1w cannot be used."
    assert words.failures([])[0][:2] == ("T1w", "failed")


def test_failed_masks_are_kept_with_their_reason():
    doc = document(others={"first": MaskInput(None, "first", ("T1w",), "missing", "FSL is not installed")})
    assert doc["Masks"]["first"]["measures"] is None
    assert not doc["Masks"]["first"]["trusted"]


def test_a_wrong_brain_mask_does_not_condemn_the_thalami():
    moved = {"masks": {"a": MaskInput(np.roll(thalami(), -10, axis=1), "a", ("T1w",))}, "affine": AFFINE}
    right = qc.build(subject="1", session=None, brain=head(), **moved)
    assert "centre_distance" in raised(right)
    wrong = qc.build(subject="1", session=None, brain=np.ones(SHAPE, np.uint8), **moved)
    assert raised(wrong) == {"brain_volume", "brain_cut_off"}
    assert wrong["Masks"]["a"]["measures"]["centre_distance_mm"] is None
    assert {flag["scope"] for flag in wrong["Flags"]} == {"brain"}


def test_where_the_field_of_view_cuts_the_head_its_middle_condemns_no_mask():
    moved = {"a": MaskInput(np.roll(thalami(), -10, axis=1), "a", ("T1w",))}
    no_icv = [{"source": "synthal", "icv_mm3": None}]
    cut = qc.build(subject="1", session=None, affine=AFFINE, masks=moved, brain=head(), icv=no_icv)
    assert raised(cut) == {"centre_distance"} and cut["Masks"]["a"]["trusted"]
    assert [entry["status"] for entry in cut["ICV"]] == ["missing"]
    unsure = {"a": MaskInput(moved["a"].labels, "a", ("T1w",), diagnostics={"flip_dice": 0.9})}
    doubted = qc.build(subject="1", session=None, affine=AFFINE, masks=unsure, brain=head(), icv=no_icv)
    assert not doubted["Masks"]["a"]["trusted"]
    whole = qc.build(subject="1", session=None, affine=AFFINE, masks=moved, brain=head())
    assert not whole["Masks"]["a"]["trusted"]


def test_a_mask_at_the_end_of_the_data_and_one_that_the_method_doubts():
    image = np.ones(SHAPE)
    image[:, :, 30:] = 0
    mask = MaskInput(
        thalami(), "synthal", ("T1w",), image=image, diagnostics={"flip_dice": 0.9, "confidence": 0.8, "in_view": 0.9}
    )
    doc = qc.build(subject="1", session=None, affine=AFFINE, masks={"a": mask}, brain=head())
    assert raised(doc) == {"no_data", "in_view", "self_agreement", "confidence"}
    good = MaskInput(
        thalami(), "synthal", ("T1w",), image=np.ones(SHAPE), diagnostics={"flip_dice": 0.96, "confidence": 0.87}
    )
    assert raised(qc.build(subject="1", session=None, affine=AFFINE, masks={"a": good}, brain=head())) == set()


def test_a_session_without_any_image_still_has_a_document(tmp_path):
    doc = qc.build(
        subject="01", session=None, affine=None, masks={}, missing=[{"item": "T1w", "reason": "no T1w image"}],
        images={"T1w": {"source": None, "status": "missing", "reason": "no T1w image"}},
    )  # fmt: skip
    qc.write(tmp_path / "qc.json", doc)
    assert qc.read(tmp_path / "qc.json") == doc


def test_masks_that_need_an_affine_do_not_pass_without():
    with pytest.raises(ValueError, match="affine"):
        qc.build(subject="1", session=None, affine=None, masks={"a": MaskInput(thalami(), "a", ("T1w",))})


def test_write_is_deterministic_and_read_gives_it_back(tmp_path):
    doc = document(others={"first": MaskInput(thalami(radius=5), "first", ("T1w",))}, notes=["T1w run 2 was taken"])
    qc.write(tmp_path / "a.json", doc)
    qc.write(tmp_path / "b.json", document(others={"first": MaskInput(thalami(radius=5), "first", ("T1w",))},
                                           notes=["T1w run 2 was taken"]))  # fmt: skip
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert qc.read(tmp_path / "a.json") == json.loads((tmp_path / "a.json").read_text()) == doc


@pytest.mark.parametrize("place", [(), ("Masks", "synthalT1w"), ("Masks", "synthalT1w", "measures"), ("Brain",)])
def test_unknown_keys_are_refused_before_anything_is_written(tmp_path, place):
    doc = document()
    target = doc
    for key in place:
        target = target[key]
    target["Surprise"] = 1
    with pytest.raises(ValueError, match="Surprise"):
        qc.write(tmp_path / "qc.json", doc)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_document_is_named_on_reading(tmp_path):
    (tmp_path / "qc.json").write_text('{"SchemaVersion": "0.1"}')
    with pytest.raises(MetadataError, match="not a QC document"):
        qc.read(tmp_path / "qc.json")


def test_the_schema_is_valid_and_describes_every_field():
    jsonschema.Draft202012Validator.check_schema(schema())

    def undescribed(node, path=""):
        for name, field in node.get("properties", {}).items():
            if "description" not in field:
                yield f"{path}/{name}"
            for inner in (field, field.get("items", {}), field.get("additionalProperties", {})):
                if isinstance(inner, dict):
                    yield from undescribed(inner, f"{path}/{name}")

    assert list(undescribed(schema())) == []
    assert list(undescribed(schema()["$defs"]["flag"])) == []
