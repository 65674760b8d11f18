"""The methods paragraph: a sentence if and only if its part ran, and every citation in the bibliography."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

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
    "years": "0.96 ± 0.17",
    "controls": "the controls (HC)",
    "reference": "normal",
}
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


def qc(masks: dict[str, dict[str, object]], registrations: list[dict[str, object]]) -> dict[str, object]:
    versions = {"Versions": {"antspyx": "0.6.3"}}
    return {"Masks": masks, "Registrations": registrations, "Flags": [], "ICV": [], "Provenance": versions}


def mask(family: str, *images: str, trusted: bool = True) -> dict[str, object]:
    told = {"family": family, "images": list(images), "measures": {"volume_mm3": 1.0}, "trusted": trusted}
    return {**told, "status": "ok", "flags": []}


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
