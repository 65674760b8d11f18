"""What the methods paragraph says follows from what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.reports.group import paper_tables
from tests.unit.reports.test_boilerplate import mask, qc
from thalbids.files import write_json
from thalbids.methods.registry import methods
from thalbids.qmri.reconstruct import CITATIONS
from thalbids.reports import boilerplate_facts
from thalbids.reports.boilerplate import fragment


def test_the_group_text_follows_the_tables(tmp_path: Path) -> None:
    folder = paper_tables.write(tmp_path)
    full = boilerplate_facts.group(folder, {"thalbids": "1.0", "scipy": "1.15.3"}).markdown()
    for said in (
        "manual masks of 50 participants",
        "SciPy 1.15.3",
        "cross-sectional: 45 tests",
        "longitudinal: 36 tests",
        "logarithm was taken of T25FW and 9-HPT",
        "(HC3) [@mackinnon1985hc] were used for EDSS",
        "repeated within RRMS",
        "1-99 % and 5-95 %",
        "Williams' test",
    ):
        assert said in full, said
    for name in (
        "overlap",
        "overlap_tests",
        "agreement",
        "containment",
        "pbvc",
        "pbvc_tests",
        "ordinal",
        "longitudinal",
    ):
        (folder / f"group_{name}.tsv").unlink()
    less = boilerplate_facts.group(folder, {"thalbids": "1.0"}).markdown()
    for gone in ("Dice", "pingouin", "Williams", "proportional-odds", "corticosteroid", "winsor", "Agreement"):
        assert gone not in less, gone
    assert "45 tests" in less


def test_the_participant_text_follows_the_derivatives(tmp_path: Path) -> None:
    tried = {"strategy": "ants", "mi": 0.3, "cutoff": 0.25, "unit": "nats"}
    registrations = [
        {"image": "FLAIR", "chosen": "ants", "attempts": [tried], "excluded": False},
        {"image": "R1map", "chosen": None, "attempts": [tried], "excluded": True},
    ]
    masks = {
        "first": mask("first", "T1w"),
        "mindglideT1w": mask("mindglide", "T1w", trusted=False),
        "mindglideFLAIR": mask("mindglide", "FLAIR"),
        "mindglideT1FLAIR": mask("mindglide", "T1w", "FLAIR"),
        "failed": mask("dbsegment", "T1w") | {"status": "failed", "measures": None},
    }
    write_json(tmp_path / "sub-01/anat/sub-01_desc-thalamus_qc.json", qc(masks, registrations))
    tool = {"GeneratedBy": [{"Name": "thalbids", "Version": "0.9"}, {"Name": "FSL", "Version": "6.0.7"}]}
    (tmp_path / "dataset_description.json").write_text(json.dumps(tool))
    text = boilerplate_facts.participant(tmp_path, methods().values()).markdown()
    for said in (
        "thalbids 0.9",
        "FLAIR and R1 images were each aligned",
        "1 was aligned with ANTs",
        "ANTsPy 0.6.3",
        "ants: 0.25 nats",
        "1 image did not pass and was excluded",
        "FSL FIRST [@patenaude2011first]",
        "thalamus mask of FSL FIRST, on which its masks therefore depend",
        "their union",
        "of 4 masks, 1 was not trusted",
        "on T1w and FLAIR by MindGlide",
    ):
        assert said in text, said
    for absent in ("DBSegment", "majority", "STAPLE", "SIENA", "FLIRT", "R1 was clipped", "SynThal"):
        assert absent not in text, absent


R1_SENTENCES = {
    name: fragment("participant", name).split("{{")[0][:70]
    for name in ("r1-given", "r1-inverted", "r1-mpm", "r1-mp2rage", "r1-angles", "r1-vfa", "r1-inversion")
}


GIVEN, INVERTED = "R1 in 1/s, negative values set to 0", "1/T1, T1 in s, at most 10 1/s, 0 where T1 is not positive"


@pytest.mark.parametrize("label", ["sub-mpm01/anat/sub-mpm01_acq-VFA", "sub-rational/anat/sub-rational_acq-MP2RAGE"])
@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"Conversion": GIVEN}, {"r1-given"}),
        ({"Conversion": INVERTED}, {"r1-inverted"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": "a rational function"}, {"r1-given"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": "Rational approximation (hMRI)"}, {"r1-mpm"}),
        ({"Conversion": INVERTED, "EstimationAlgorithm": "MP2RAGE look-up"}, {"r1-inverted", "r1-mp2rage"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": CITATIONS["MTS"][0]}, {"r1-angles"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": CITATIONS["VFA"][0]}, {"r1-vfa"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": CITATIONS["UNIT1"][0]}, {"r1-mp2rage"}),
        ({"Conversion": GIVEN, "EstimationAlgorithm": CITATIONS["IRT1"][0]}, {"r1-inversion"}),
        ({}, set()),
    ],
)
def test_the_origin_of_r1_is_what_a_step_wrote(
    tmp_path: Path, label: str, told: dict[str, str], said: set[str]
) -> None:
    """Labels and file names in ``Sources`` say nothing."""
    raw = [f"bids:raw:{label}_R1map.nii.gz", f"bids:raw:{label}_T1map.nii.gz", "bids:raw:sub-1_UNIT1.nii.gz"]
    write_json(tmp_path / f"{label}_space-T1w_desc-preproc_R1map.json", {"Sources": raw, **told})
    write_json(tmp_path / "sub-mpm01/anat/sub-mpm01_desc-thalamus_qc.json", qc({}, []))
    text = boilerplate_facts.participant(tmp_path).markdown()
    assert {name for name, start in R1_SENTENCES.items() if start in text} == said


@pytest.mark.parametrize("unringing", ["none", "local subvoxel shifts (Kellner et al. 2016)"])
def test_maps_computed_here_are_not_called_given(tmp_path: Path, unringing: str) -> None:
    algorithm, _ = CITATIONS["MPM"]
    fitted = {"EstimationAlgorithm": algorithm, "Unringing": unringing}
    write_json(tmp_path / "sub-1/anat/sub-1_R1map.json", fitted)
    told = {"Conversion": GIVEN, "EstimationAlgorithm": algorithm}
    write_json(tmp_path / "sub-1/anat/sub-1_space-T1w_desc-preproc_R1map.json", told)
    write_json(tmp_path / "sub-1/anat/sub-1_desc-thalamus_qc.json", qc({}, []))
    text = boilerplate_facts.participant(tmp_path).markdown()
    assert "(ESTATICS)" in text and "supplied" not in text and "two flip angles" in text
    assert ("Gibbs ringing" in text) is (unringing != "none")


@pytest.mark.parametrize(("status", "said"), [("ok", True), ("failed", False)])
def test_change_by_registration_is_told_where_it_was_measured(tmp_path: Path, status: str, said: bool) -> None:
    path = tmp_path / "sub-01" / "anat" / "sub-01_desc-change_morph.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(f"method\tmeasure\tstatus\nsynthalT1w\tregistration\t{status}\n")
    assert ("change-registration" in boilerplate_facts._tables(tmp_path, boilerplate_facts._results(tmp_path))) == said


@pytest.mark.parametrize(("alone", "said"), [("-1.2", True), ("n/a", False)])
def test_changes_that_were_made_to_add_up_are_told(tmp_path: Path, alone: str, said: bool) -> None:
    path = tmp_path / "sub-01" / "anat" / "sub-01_desc-change_morph.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(f"measure\tstatus\tdelta_percent_alone\nregistration\tok\t{alone}\n")
    assert ("change-series" in boilerplate_facts._tables(tmp_path, boilerplate_facts._results(tmp_path))) == said


@pytest.mark.parametrize("damaged", [b"a\tb\n1\n", b"", "n\u00e4\n".encode("latin-1")])
@pytest.mark.parametrize("desc", ["icv", "siena", "change"])
def test_a_damaged_table_of_another_person_costs_only_itself(tmp_path: Path, desc: str, damaged: bytes) -> None:
    for person, content in (("01", damaged), ("02", b"source\tpbvc\tmeasure\tstatus\ngiven\t-1\tregistration\tok\n")):
        path = tmp_path / f"sub-{person}/anat/sub-{person}_desc-{desc}_morph.tsv"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    (tmp_path / "sub-03" / "anat").mkdir(parents=True)
    (tmp_path / f"sub-03/anat/sub-03_desc-{desc}_morph.tsv").symlink_to(tmp_path / "gone")  # as one that vanished
    said = {"icv": "icv-given", "siena": "siena", "change": "change-registration"}[desc]
    assert list(boilerplate_facts._tables(tmp_path, boilerplate_facts._results(tmp_path))) == [said]


@pytest.mark.parametrize("content", ["{", "", '{"GeneratedBy": null}', '{"GeneratedBy": 3}'])
def test_a_damaged_description_costs_versions_only(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset_description.json").write_text(content)
    found = boilerplate_facts.versions(tmp_path, [qc({}, [])])
    assert found == {"thalbids": "of an unknown version", "antspyx": "0.6.3"}
