"""The group page: its story over the paper's numbers, what it says where there is little, and hostile text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.reports.group import paper_tables
from thalbids.cli.main import main
from thalbids.group.analyses.clinical.ordinal import section as sensitivity
from thalbids.group.registry import ANALYSES
from thalbids.group.reporting import story
from thalbids.reports import boilerplate_facts
from thalbids.reports.group.figures import canvas
from thalbids.reports.group.figures import overlap as overlap_figures
from thalbids.reports.group.group_data import Tables, first_pair
from thalbids.reports.group.group_page import write_group_report

EVIL = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>=cmd|' /C calc'!A0 $\\frac{$"


class Page(HTMLParser):
    """Tags with attributes, and the text outside of style."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._skip = "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skip = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._skip else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper_tables.write(tmp_path_factory.mktemp("paper"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels are not drawn: what is drawn has its own tests."""
    monkeypatch.setattr(canvas, "draw", paper_tables.not_drawn)


def page_of(folder: Path) -> Page:
    text = boilerplate_facts.group(folder, {"thalbids": "1.0"})
    return Page(write_group_report(Tables(folder), story(ANALYSES), {"Versions": {"thalbids": "1.0"}}, text)[0])


def test_the_story_has_the_papers_numbers(paper: Path, quick: None) -> None:
    page = page_of(paper)
    for said in (
        "321 participants with 555 sessions and 10 methods",
        "DBSegment has the highest median Dice, 0.840 [0.808, 0.864]",
        "the lowest is that of MindGlide FLAIR, 0.752 (n = 50).",
        "0.762 (0.698–0.781)",  # Table 1
        "0.73 [0.57, 0.84]",  # Table 2
        "The bias is smallest for DBSegment (0.75 mL) and largest for FreeSurfer (5.65 mL).",
        "by MindGlide R1 + FLAIR (n = 234) and, at the other end, -0.06 ± 1.55 % by DBSegment (n = 234)",
        "Counter-intuitive sign: for Change of EDSS (",
        "over all 45 models",
        "over all 36 models",
    ):
        assert said in page.text, said
    ids = [a["id"] for a in page.all("section")]
    assert ids == ["people", "volumes", "overlap", "containment", "agreement", "crosssectional", "change", "pbvc",
                   "longitudinal", "sensitivity", "beyond", "without", "methods", "provenance"]  # fmt: skip
    assert [a["id"] for a in page.all("dt")] == ["groups", "comparability", "influence", "same_people", "imputed",
                                                 "maps"]  # fmt: skip
    assert page.text.count("Research use only") == 1


def test_caveats_stand_where_they_belong(tmp_path: Path, paper: Path, quick: None) -> None:
    text = page_of(paper).text
    for said in ("ICC(C,1) is consistency", "are unions of their members", "fixed by construction", "It cannot be done",
                 "not interchangeable"):  # fmt: skip
        assert said in text, said
    plain = page_of(paper_tables.write(tmp_path / "b", methods=("first", "dbsegment"))).text
    assert "are unions of their members" not in plain
    assert "fixed by construction" not in plain


def test_every_picture_has_words_and_every_link_leads_to_a_table(paper: Path, quick: None) -> None:
    page = page_of(paper)
    pictures = page.all("img")
    assert len(pictures) > 60
    assert all(picture["alt"] and picture["src"].startswith("data:image/svg+xml;base64,") for picture in pictures)
    links = [a["href"] for a in page.all("a")]
    tables = {href for href in links if href.endswith(".tsv")}
    assert tables and all((paper / href).is_file() for href in tables)
    assert all(href.startswith(("#", "group_", "https://doi.org/")) for href in links)
    assert not page.all("script") and not page.all("link")


def test_an_unexpected_sign_names_its_model_where_the_corrected_p_is_below_the_limit(
    tmp_path: Path, quick: None
) -> None:
    row = {"outcome": "d_edss", "term": "delta_volume_ml", "subset": "all", "sensitivity": "none", "ci_low": 0.1}
    rows = [
        {**row, "method": "first", "estimate": 0.5, "ci_high": 0.9, "p_fdr": 0.03},
        {**row, "method": "dbsegment", "estimate": 0.5, "ci_high": 1.1, "p_fdr": 0.2},
    ]
    paper_tables.table(tmp_path, "longitudinal", rows)
    assert "Counter-intuitive sign: for Change of EDSS (FSL FIRST), the model says" in page_of(tmp_path).text


def test_ordinal_models_of_two_subsets_are_told_apart(tmp_path: Path, quick: None) -> None:
    row = {"method": "first", "threshold": "any", "term": "delta_volume_ml", "p_fdr": 0.5, "ci_low": 0, "ci_high": 1}
    rows = [{**row, "subset": "all", "estimate": 0.4}, {**row, "subset": "RRMS", "estimate": 0.6}]
    paper_tables.table(tmp_path, "ordinal", rows)
    (shown,) = sensitivity(Tables(tmp_path)).tables
    assert [dict(zip(shown.header, cells, strict=True))["Subset"] for cells in shown.rows] == ["all", "RRMS"]


def test_an_empty_folder_says_why(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert len(page.all("dt")) == 17 and [a["id"] for a in page.all("section")] == ["without", "methods", "provenance"]
    assert "--derivatives manual=PATH" in page.text
    assert '[group] containment = "all" in the settings' in page.text
    assert "no session has a volume yet" in page.text
    assert not page.all("img")


def test_one_method_and_no_reference_is_enough(tmp_path: Path, quick: None) -> None:
    paper_tables.write(tmp_path, methods=("mindglideT1w",))
    for name in ("overlap", "agreement", "overlap_summary", "overlap_tests"):
        (tmp_path / f"group_{name}.tsv").unlink()
    page = page_of(tmp_path)
    assert "1 method: MindGlide T1w." in page.text
    assert "There are no manual masks" in page.text


def test_what_presses_stands_at_the_top(tmp_path: Path, quick: None) -> None:
    paper_tables.write(tmp_path)
    page = write_group_report(Tables(tmp_path), story(ANALYSES), {}, pressing=["one scan under <two> labels"])[0]
    text = page.read_text(encoding="utf-8")
    place = text.index("one scan under &lt;two&gt; labels")
    assert text.index("Look at this first") < place < text.index("<nav")


def test_a_simulated_dataset_says_so(tmp_path: Path, quick: None) -> None:
    paper_tables.write(tmp_path, methods=("first",))
    plain = write_group_report(Tables(tmp_path), story(ANALYSES), {})[0].read_text(encoding="utf-8")
    assert "Simulated" not in plain
    told = write_group_report(Tables(tmp_path), story(ANALYSES), {}, simulated="a <simulated> cohort")[0]
    assert "<strong>Simulated.</strong> a &lt;simulated&gt; cohort" in told.read_text(encoding="utf-8")


def test_hostile_text_shows_as_text(tmp_path: Path) -> None:
    rows = [
        {"participant_id": EVIL, "session_id": EVIL, "method": EVIL, "diagnosis": EVIL, "volume_ml": 10.0 + n,
         "status": "ok"} for n in range(3)
    ]  # fmt: skip
    paper_tables.table(tmp_path, "volumes", [*rows, {**rows[0], "diagnosis": "HC"}])
    paper_tables.table(tmp_path, "odd", [{"method": EVIL, "note": EVIL}])
    described = {"variable": EVIL, "diagnosis": EVIL, "n": 3, "mean": 1.0, "sd": 1.0}
    paper_tables.table(tmp_path, "descriptives", [described])
    path = write_group_report(Tables(tmp_path), story(ANALYSES), {EVIL: {EVIL: EVIL}, "text": EVIL})[0]
    page = Page(path)
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert {picture["src"][:20] for picture in page.all("img")} == {"data:image/svg+xml;b"}
    assert page.text.count("onerror=alert(1)") >= 6
    svg = (tmp_path / "group_figures" / "volumes.svg").read_text(encoding="utf-8")
    assert "<script" not in svg and "<img" not in svg


def test_the_first_pair_is_that_of_each_analysis() -> None:
    rows = [("change", "consecutive"), ("change", "1:2"), ("longitudinal", "first:last"), ("crosssectional", None)]
    table = pd.DataFrame(rows, columns=["analysis", "sessions"])
    assert list(first_pair(table)["sessions"].fillna("")) == ["consecutive", "first:last", ""]
    assert list(first_pair(table[["sessions"]])["sessions"].fillna("")) == ["consecutive", ""]


def test_numbers_are_not_mistaken_for_text_nor_text_for_numbers(tmp_path: Path) -> None:
    (tmp_path / "group_volumes.tsv").write_text("participant_id\tmethod\tvolume_ml\n007\tNA\t1e1\n008\tn/a\tn/a\n")
    table = Tables(tmp_path).get("volumes")
    assert table["participant_id"].tolist() == ["007", "008"]
    assert table["method"].tolist()[0] == "NA"
    assert table["volume_ml"].tolist()[0] == 10.0


def test_the_same_tables_give_the_same_files(tmp_path: Path) -> None:
    folder = paper_tables.write(tmp_path, methods=("first", "mindglideT1w"))
    figure = overlap_figures.boxes(Tables(folder))
    assert figure is not None
    one = [path.read_bytes() for path in canvas.draw(figure, tmp_path / "a").files]
    two = [path.read_bytes() for path in canvas.draw(figure, tmp_path / "b").files]
    assert one == two
    assert b"20" + b"26-" not in one[0]


@pytest.mark.slow
def test_forty_methods_stay_small(tmp_path: Path) -> None:
    methods = (*paper_tables.METHODS, *(f"plugin{n:02d}T1w" for n in range(30)))
    path = write_group_report(Tables(paper_tables.write(tmp_path, methods=methods)), story(ANALYSES), {})[0]
    assert path.stat().st_size < 10e6


def test_page_and_paragraph_again_from_the_command_line(
    paper: Path, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), str(paper), "group", "--reports-only"]) == 0
    assert re.search(r"report: .*group\.html$", capsys.readouterr().out, re.MULTILINE)
    assert main([str(tmp_path), str(paper), "group", "--boilerplate-only"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["logs/CITATION.md", "logs/CITATION.html", "logs/CITATION.bib"]
    assert "Lin's concordance" in (paper / "logs" / "CITATION.md").read_text()
    assert main([str(tmp_path), str(tmp_path), "participant", "--boilerplate-only"]) == 66
    assert "no results to describe" in capsys.readouterr().err


def test_figures_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "group_figures"
    folder.mkdir()
    for name in ("agreement.svg", "agreement.png", "mine.txt"):
        (folder / name).write_text("of an earlier run")
    write_group_report(Tables(tmp_path), story(ANALYSES), {})
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_results_in_short_stand_first(tmp_path: Path, quick: None) -> None:
    row = {"outcome": "d_edss", "term": "delta_volume_ml", "subset": "all", "sensitivity": "none", "ci_low": 0.1}
    paper_tables.table(
        tmp_path, "longitudinal", [{**row, "method": "first", "estimate": 0.5, "ci_high": 0.9, "p_fdr": 0.03}]
    )
    text = page_of(tmp_path).text
    short = text.index("Results in short")
    assert short < text.index("1 of 1 model has a corrected p") < text.index("Look at this first")
    assert text.index("Look at this first") < text.index("Counter-intuitive sign") < text.index("Who was measured")
