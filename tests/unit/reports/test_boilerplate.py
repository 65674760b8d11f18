"""The methods paragraph: a sentence if and only if its part ran, and every citation in the bibliography."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.unit.reports.group import paper_tables
from thalbids.files import write_json
from thalbids.methods.registry import methods
from thalbids.reports import boilerplate, boilerplate_facts
from thalbids.reports.boilerplate import LAYOUT, assemble, bibliography, cited, fragment

EVERY = [(level, name) for level, parts in LAYOUT.items() for _, names in parts for name in names]
FRAGMENTS = [(level, name) for level, name in EVERY if name != "methods"]  # methods say their own sentences
KNOWN = {  # something for every placeholder
    "n": 3,
    "sessions": 5,
    "images": ["FLAIR", "R1"],
    "names": ["A", "B"],
    "outcomes": ["EDSS"],
    "families": ["x: 45 tests"],
    "cutoffs": ["ants: 0.25 nats"],
    "lines": ["on T1w by SynThal"],
    "terms": ["volume", "age"],
    "parts": ["sex from 4 of 4 models (does not vary)"],
    "draws": 2000,
    "how": "",
    "total": 9,
    "flagged": 1,
}
GONE = (
    "overlap",
    "overlap_tests",
    "agreement",
    "containment",
    "pbvc",
    "pbvc_tests",
    "ordinal",
    "longitudinal",
)
NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "howpublished", "year"},
    "software": {"author", "title", "url", "year"},
}


def test_fragments_and_files_are_the_same() -> None:
    folder = Path(boilerplate.__file__).parents[2] / "boilerplate"
    files = {(path.parent.name, path.stem) for path in folder.glob("*/*.md")}
    assert files == set(FRAGMENTS)


@pytest.mark.parametrize(("level", "name"), FRAGMENTS)
def test_a_sentence_stands_if_and_only_if_its_part_ran(level: str, name: str) -> None:
    everything = {other: KNOWN for at, other in FRAGMENTS if at == level}
    own = assemble(level, {name: KNOWN}, {"thalbids": "1.0"}).markdown()
    full = assemble(level, everything, {"thalbids": "1.0"}).markdown()
    without = assemble(level, {k: v for k, v in everything.items() if k != name}, {"thalbids": "1.0"}).markdown()
    sentence = own.split("\n\n")[1].strip()
    assert len(sentence) > 20 and sentence.endswith(".")
    assert sentence in full
    assert sentence not in without


def test_every_citation_is_in_the_bibliography_and_every_entry_is_cited() -> None:
    used = {key for level, name in FRAGMENTS for key in cited(fragment(level, name))}
    used |= {key for method in methods().values() for key in (*method.citations, *cited(method.sentence))}
    assert used == set(bibliography())


def test_entries_have_what_their_type_needs() -> None:
    for key, entry in bibliography().items():
        assert NEEDED[entry["type"]] <= set(entry), key
        assert re.fullmatch(r"(19|20)\d\d", entry["year"]), key
        if key != "williams1959":  # has no DOI that could be confirmed
            assert re.fullmatch(r"10\.\d{4,9}/\S+", entry["doi"]), key
        assert entry["entry"].count("{") == entry["entry"].count("}"), key
        assert all(re.search(r"\S,\s\S", a) or a in ("others",) for a in entry["author"].split(" and ")), key
    dois = [entry["doi"].lower() for entry in bibliography().values() if "doi" in entry]
    assert len(dois) == len(set(dois))


def test_references_read_well() -> None:
    assert boilerplate.reference("bland1986agreement").name == "Bland and Altman, 1986"
    text = boilerplate.reference("brett_nibabel").text
    assert "Côté" not in text  # the fourth author is among "et al."
    assert "Marques José P." in boilerplate.reference("marques2010mp2rage").text
    assert boilerplate.reference("lin1989ccc").text.endswith("Biometrics 45 (1): 255–268.")


def test_hostile_words_cannot_cite_or_write_markup(tmp_path: Path) -> None:
    evil = "@lin1989ccc <b>x</b> [a](javascript:b) \\input{/etc/passwd} $x$"
    text = assemble("participant", {"method-other": {"names": [evil]}}, {"thalbids": "<i>@x</i>"})
    assert text.keys() == []
    assert "<b>" not in text.html() and "\\input" not in text.markdown() and "[a]" not in text.markdown()


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


def qc(masks: dict[str, dict[str, object]], registrations: list[dict[str, object]]) -> dict[str, object]:
    return {"Masks": masks, "Registrations": registrations, "Provenance": {"Versions": {"antspyx": "0.6.3"}}}


def mask(family: str, *images: str, trusted: bool = True) -> dict[str, object]:
    return {"family": family, "images": list(images), "measures": {"volume_mm3": 1.0}, "trusted": trusted}


def test_the_participant_text_follows_the_derivatives(tmp_path: Path) -> None:
    tried = {"strategy": "ants", "cutoff": 0.25, "unit": "nats"}
    registrations = [
        {"image": "FLAIR", "chosen": "ants", "attempts": [tried], "excluded": False},
        {"image": "R1map", "chosen": None, "attempts": [tried], "excluded": True},
    ]
    masks = {
        "first": mask("first", "T1w"),
        "mindglideT1w": mask("mindglide", "T1w", trusted=False),
        "mindglideFLAIR": mask("mindglide", "FLAIR"),
        "mindglideT1FLAIR": mask("mindglide", "T1w", "FLAIR"),
        "failed": {"family": "dbsegment", "images": ["T1w"], "measures": None},
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
    name: fragment("participant", name)[:40] for name in ("r1-given", "r1-inverted", "r1-mpm", "r1-mp2rage")
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


def test_files_are_written_and_latex_where_there_is_pandoc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = assemble("group", {"icc": {}}, {"thalbids": "1.0"})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        names = [path.name for path in boilerplate.write(text, tmp_path / "a")]
    assert names == ["CITATION.md", "CITATION.html", "CITATION.bib"]
    bib = (tmp_path / "a" / "CITATION.bib").read_text()
    assert re.findall(r"@\w+\{(\w+)", bib) == ["mcgraw1996icc", "shrout1979icc", "vallat2018pingouin"]
    if shutil.which("pandoc"):
        assert [path.name for path in boilerplate.write(text, tmp_path / "b")][-1] == "CITATION.tex"
        assert "\\citet{shrout1979icc}" in (tmp_path / "b" / "CITATION.tex").read_text()


class Elsewhere:
    """A method of another package that cites what our bibliography does not have."""

    family, sentence = "mine", "Thalami were found with mine [@me2026]."
    citations = ("me2026", "nowhere2020")
    references = "@misc{me2026,\n  author = {Doe, Jane},\n  title = {My <b>method</b>},\n  year = {2026},\n}"


def test_a_method_from_elsewhere_brings_its_references(tmp_path: Path) -> None:
    write_json(tmp_path / "sub-01/anat/sub-01_desc-thalamus_qc.json", qc({"mineT1w": mask("mine", "T1w")}, []))
    text = boilerplate_facts.both(tmp_path, [Elsewhere()])
    boilerplate.write(text, tmp_path / "logs", "CITATION")
    bib = (tmp_path / "logs" / "CITATION.bib").read_text()
    page = (tmp_path / "logs" / "CITATION.html").read_text()
    assert "@misc{me2026," in bib and "nowhere2020" not in bib
    assert "Doe, 2026" in page and "My &lt;b&gt;method&lt;/b&gt;" in page
    assert "nowhere2020: the method gives no reference." in page
