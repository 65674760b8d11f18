"""Tables that no section tells of are listed as they are, or as their view says."""

from __future__ import annotations

from pathlib import Path

from thalbids.reports.group.beyond import View, beyond
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import MOST_ROWS


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / f"group_{name}.tsv").write_text("\n".join(lines) + "\n")


def test_what_is_told_elsewhere_is_not_listed_and_a_view_chooses(tmp_path: Path) -> None:
    write(tmp_path, "told", "a", "1")
    write(tmp_path, "plain", "method\tci_low\tempty", "first\t0.123456\tn/a")
    write(tmp_path, "chosen", "kind\tn\tp", "x\t3\t0.5", "y\t4\t0.5")
    views = {"plain": View("Plain", last=True), "chosen": View("Chosen", {"kind": ("y",)}, ("n",))}
    section = beyond(Tables(tmp_path), ["told"], views)
    assert [shown.title for shown in section.tables] == ["Chosen", "Plain"]
    assert (section.tables[0].header, section.tables[0].rows) == (["n"], [["4"]])
    assert section.tables[1].header == ["Method", "95 % from"]  # an empty column is left out
    assert section.tables[1].rows == [["FSL FIRST", "0.1235"]]
    assert section.tables[1].file == "group_plain.tsv" and not section.nothing


def test_nothing_is_said_and_long_tables_are_cut(tmp_path: Path) -> None:
    assert beyond(Tables(tmp_path)).nothing
    write(tmp_path, "long", "n", *map(str, range(100)))
    assert len(beyond(Tables(tmp_path)).tables[0].rows) == MOST_ROWS + 1


def test_models_of_which_none_was_fitted_are_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "none", "outcome\testimate\treason", "d_edss\tn/a\t3 rows are too few", "d_sdmt\tn/a\tno dates")
    write(tmp_path, "some", "outcome\testimate\treason", "d_edss\t0.5\tn/a", "sdmt\tn/a\tno dates")
    section = beyond(Tables(tmp_path), views={"none": View("Rates")})
    assert section.caveats == ["Rates: nothing could be computed (3 rows are too few and no dates)."]
    (shown,) = section.tables
    assert [row[0] for row in shown.rows] == ["Change of EDSS", "SDMT"]


def test_a_table_of_reasons_alone_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "sizes", "n_per_arm\treason", "n/a\ttoo few people", "n/a\ttoo few people")
    write(tmp_path, "counts", "kind\tn", "x\t0", "y\t0")
    write(tmp_path, "partly", "n_per_arm\treason", "12\tn/a", "n/a\ttoo few people")
    section = beyond(Tables(tmp_path))
    assert section.caveats == [
        "Counts: nothing could be computed (no participants).",
        "Sizes: nothing could be computed (too few people).",
    ]
    assert [shown.title for shown in section.tables] == ["Partly"]


def test_people_with_a_reason_are_shown(tmp_path: Path) -> None:
    """Whose baseline is not the first session, and why: nothing that could not be computed."""
    rows = "participant_id\tsession_id_first\tsession_id\treason\nsub-02\tses-1\tses-2\texcluded (moved)\n"
    (tmp_path / "group_baselines.tsv").write_text(rows)
    section = beyond(Tables(tmp_path))
    assert section.tables[0].rows == [["sub-02", "ses-1", "ses-2", "excluded (moved)"]]
    assert not section.caveats
