"""Results that were edited, damaged, exchanged, removed or left half-way are not analysed as if nothing had been."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.cohort import morph_row, write_rows
from tests.unit.group.small import cohort_of
from thalbids.bids.results.derivatives import CHANGES
from thalbids.bids.results.outputs import UNFINISHED
from thalbids.cli.main import main
from thalbids.engine.fingerprint import file_sha256, json_sha256
from thalbids.group import reporting, run
from thalbids.group.cohort import Cohort
from thalbids.group.intake.reading import read_cohort
from thalbids.settings import load

SESSIONS = (("sub-01", "ses-1"), ("sub-02", "ses-1"))


@pytest.fixture(autouse=True)
def only_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ANALYSES", tuple(item for item in run.ANALYSES if item.name == "volumes"))
    monkeypatch.setattr(reporting, "write", lambda *_: [Path("group.html")])


def record(path: Path, out: Path, content: dict, *files: Path) -> None:
    """A record as `thalbids.engine.record` writes it."""
    listed = {file.relative_to(out).as_posix(): file_sha256(file) for file in files}
    listed[path.relative_to(out).as_posix()] = json_sha256(content)
    path.write_text(json.dumps({**content, "Provenance": {"Outputs": listed, "Status": "ok"}}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people with a volume table, a mask, and the records of both; the dataset has their scans."""
    for number, (person, session) in enumerate(SESSIONS):
        scan = tmp_path / "raw" / person / session / "anat" / f"{person}_{session}_T1w.nii.gz"
        scan.parent.mkdir(parents=True)
        scan.touch()
        folder = tmp_path / "out" / person / session / "anat"
        stem = f"{person}_{session}"
        table = folder / f"{stem}_desc-thalamus_morph.tsv"
        write_rows(table, [morph_row("first", 17800.0 + number, 9000, 8800), morph_row("dbsegment", 15000.0)])
        mask = folder / f"{stem}_space-T1w_label-thalamus_desc-first_mask.nii.gz"
        dseg = folder / f"{stem}_space-T1w_seg-thalamus_desc-first_dseg.nii.gz"
        mask.write_bytes(b"mask %d" % number)
        dseg.write_bytes(b"dseg %d" % number)
        out = tmp_path / "out"
        record(mask.with_name(mask.name.replace(".nii.gz", ".json")), out, {"Manual": False}, mask, dseg)
        other = folder / f"{stem}_space-T1w_label-thalamus_desc-dbsegment_mask.nii.gz"
        other.write_bytes(b"other %d" % number)
        record(other.with_name(other.name.replace(".nii.gz", ".json")), out, {}, other)
        record(folder / f"{stem}_desc-thalamus_qc.json", out, {"Masks": {}, "Flags": []}, table)
        t1w = folder / f"{stem}_desc-reoriented_T1w.nii.gz"
        t1w.write_bytes(b"scan %d" % number)
        record(folder / f"{stem}_desc-reoriented_T1w.json", out, {}, t1w)
    return tmp_path


def anat(root: Path, ending: str) -> Path:
    return next((root / "out/sub-01/ses-1/anat").glob(f"*{ending}"))


def cohort(root: Path, **group: object) -> Cohort:
    return cohort_of(root / "raw", root / "out", **group)


GOOD = {(person, method): "ok" for person, _ in SESSIONS for method in ("first", "dbsegment")}


def lost(root: Path) -> set[tuple[str, str]]:
    """The rows that are not ok; everything else is."""
    rows = cohort(root).volumes.itertuples()
    found = {(row.participant_id, row.method): row.status for row in rows}
    assert set(found) == set(GOOD)
    return {key for key, status in found.items() if status != "ok"}


def test_untouched_results_are_trusted(root: Path) -> None:
    assert lost(root) == set()
    assert cohort(root).lost == []


BOTH = {("sub-01", "first"), ("sub-01", "dbsegment")}


@pytest.mark.parametrize(
    ("old", "new"), [("17800.0", "27800.0"), ("17800.0", "17.8"), ("17800.0", "1e305"), ("ok", "ok ")]
)
def test_an_edited_table_costs_its_session(root: Path, old: str, new: str) -> None:
    table = anat(root, "thalamus_morph.tsv")
    table.write_text(table.read_text().replace(old, new))
    assert lost(root) == BOTH
    (note,) = cohort(root).lost if new in ("27800.0", "ok ") else cohort(root).lost[:1]
    assert (
        "sub-01 ses-1 left out: sub-01_ses-1_desc-thalamus_morph.tsv is not the file that its record tells of" in note
    )


UNREADABLE = ["empty", "header alone", "other columns", "no text", "link", "folder"]


@pytest.mark.parametrize(("kind", "documented"), [("gone", True), *itertools.product(UNREADABLE, (True, False))])
def test_a_table_that_cannot_be_read_loses_its_session_not_without_a_word(
    root: Path, kind: str, documented: bool
) -> None:
    table = anat(root, "thalamus_morph.tsv")
    if not documented:
        anat(root, "thalamus_qc.json").unlink()
    content = {"empty": b"", "header alone": table.read_bytes().splitlines()[0], "no text": b"\xff\xfe\0"}
    content["other columns"] = b"nothing\there\n1\t2\n"
    table.unlink()
    if kind in content:
        table.write_bytes(content[kind])
    elif kind == "link":
        table.symlink_to("nowhere")
    elif kind == "folder":
        table.mkdir()
    (note,) = cohort(root).lost
    assert (
        "sub-01 ses-1 left out: sub-01_ses-1_desc-thalamus_morph.tsv is not there, holds no volumes or cannot be read"
        in note
    )
    assert main([str(root / "raw"), str(root / "out"), "group"]) == 1


def test_methods_that_are_not_asked_for_are_no_loss(root: Path) -> None:
    table = anat(root, "thalamus_morph.tsv")
    rows = [row.replace("dbsegment", "freesurfer") for row in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    qc = anat(root, "thalamus_qc.json")
    content = {key: value for key, value in json.loads(qc.read_text()).items() if key != "Provenance"}
    record(qc, root / "out", content, table)
    read = read_cohort(root / "raw", root / "out", load(None, {"methods": {"names": ["dbsegment"]}}))
    assert set(read.volumes["participant_id"]) == {"sub-02"} and read.lost == []


@pytest.mark.parametrize("content", ['{"Masks": 3}', "[1]", "null", "{", "", '{"Masks": 3, "Provenance": 7}', "\x00"])
def test_a_damaged_qc_document_costs_its_session(root: Path, content: str, capsys) -> None:
    anat(root, "thalamus_qc.json").write_text(content)
    assert lost(root) == BOTH
    assert "_desc-thalamus_qc.json is damaged" in cohort(root).lost[0]
    assert main([str(root / "raw"), str(root / "out"), "group"]) == 1
    assert "this is a bug" not in capsys.readouterr().err


def test_a_changed_qc_document_costs_its_session(root: Path) -> None:
    path = anat(root, "thalamus_qc.json")
    path.write_text(path.read_text().replace('"Flags": []', '"Flags": [1]'))
    assert lost(root) == BOTH


@pytest.mark.parametrize("missing", ["thalamus_qc.json", "icv_morph.json"])
def test_a_table_without_its_record_costs_its_session(root: Path, missing: str) -> None:
    """Whoever deletes the record can edit the table; a copy of tables alone has no masks, and is taken as it stands."""
    folder = anat(root, "thalamus_qc.json").parent
    table = folder / "sub-01_ses-1_desc-icv_morph.tsv"
    table.write_text("source\ticv_mm3\nsynthal\t1500000\n")
    record(table.with_suffix(".json"), root / "out", {}, table)
    assert lost(root) == set()
    anat(root, missing).unlink()
    assert lost(root) == BOTH
    assert f"sub-01_ses-1_desc-{missing}, the record of a table, is not there" in cohort(root).lost[0]
    for path in folder.iterdir():
        if path.suffix != ".tsv":
            path.unlink()
    assert lost(root) == set()


@pytest.mark.parametrize("what", ["untouched", "edited", "without its record", "with a damaged record"])
@pytest.mark.parametrize("kind", ["change", "siena"])
def test_tables_of_a_person_are_held_against_their_records(root: Path, kind: str, what: str) -> None:
    folder = root / "out/sub-01/anat"
    folder.mkdir()
    table = folder / f"sub-01_desc-{kind}_morph.tsv"
    if kind == "change":
        row = {**dict.fromkeys(CHANGES[1:], "n/a"), "method": "first", "measure": "registration", "status": "ok"}
        row |= {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
        write_rows(table, [row | {name: -0.5 for name in row if name.startswith("delta_")}])
    else:
        pair = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
        write_rows(table, [pair | {"pbvc": -0.5, "source": "siena", "status": "ok", "reason": "n/a"}])
    record(table.with_suffix(".json"), root / "out", {}, table)
    if what == "edited":
        table.write_text(table.read_text().replace("-0.5", "-5"))
    elif what == "without its record":
        table.with_suffix(".json").unlink()
    elif what == "with a damaged record":
        table.with_suffix(".json").write_text("{")
    found = cohort(root)
    frame = found.changes if kind == "change" else found.pbvc
    assert frame is not None
    assert frame["status"].tolist() == (["ok"] if what == "untouched" else ["failed"])
    assert len(found.lost) == (0 if what == "untouched" else 1)
    assert lost(root) == set()  # the volumes of the sessions stay


def test_probabilities_are_not_needed(root: Path) -> None:
    """They are in no copy by `share --what masks`, take most of the room, and the group level reads none."""
    mask = anat(root, "desc-first_mask.nii.gz")
    soft = mask.with_name(mask.name.replace("_mask", "_probseg"))
    soft.write_bytes(b"soft")
    record(mask.with_name(mask.name.replace(".nii.gz", ".json")), root / "out", {}, mask, soft)
    soft.unlink()
    assert lost(root) == set()


def test_a_mask_of_which_no_record_tells(root: Path) -> None:
    """A record may be that of several masks, beside the first; where none lists a mask, it cannot be trusted."""
    first, other = (anat(root, f"desc-{name}_mask.json") for name in ("first", "dbsegment"))
    masks = [path.with_suffix(".nii.gz") for path in (first, other)]
    other.write_text("{}")
    assert lost(root) == {("sub-01", "dbsegment")}
    assert "no record tells of its mask" in cohort(root).lost[0]
    record(first, root / "out", {}, *masks)
    assert lost(root) == set()
    masks[1].write_bytes(b"another")
    assert ("sub-01", "dbsegment") in lost(root)


@pytest.mark.parametrize("what", ["deleted", "deleted with its record", "damaged", "of another person"])
def test_a_mask_that_is_not_the_one_that_was_measured(root: Path, what: str) -> None:
    mask = anat(root, "desc-first_mask.nii.gz")
    if what.startswith("deleted"):
        mask.unlink()
        if what != "deleted":
            anat(root, "desc-first_mask.json").unlink()
    elif what == "damaged":
        mask.write_bytes(b"mas")
    else:
        mask.write_bytes(Path(str(mask).replace("sub-01", "sub-02")).read_bytes())
    assert lost(root) == {("sub-01", "first")}
    assert cohort(root).excluded("sub-01", "ses-1", "first")  # whoever reads masks leaves it out too


def test_volumes_have_bounds_without_records_too(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rows = [morph_row("first", 17.8), morph_row("dbsegment", 1e305), morph_row("freesurfer", 15000)]
    write_rows(tmp_path / "out/sub-01/anat/sub-01_desc-thalamus_morph.tsv", rows)
    found = cohort(tmp_path).volumes.set_index("method")
    assert found["status"].to_dict() == {"first": "failed", "dbsegment": "failed", "freesurfer": "ok"}
    assert found.loc["first", "reason"] == "a volume of 17.8 mm3 is that of no pair of thalami"


def test_one_scan_under_two_labels_is_reported(root: Path) -> None:
    assert not any("several labels" in note for note in cohort(root).notes)
    one, two = anat(root, "reoriented_T1w.json"), root / "out/sub-02/ses-1/anat/sub-02_ses-1_desc-reoriented_T1w.json"
    digest = json.loads(one.read_text())["Provenance"]["Outputs"]
    digest = {name.replace("sub-01", "sub-02"): value for name, value in digest.items()}
    two.write_text(json.dumps({"Provenance": {"Outputs": digest}}))
    assert any("sub-01_ses-1 = sub-02_ses-1" in note for note in cohort(root).notes)


def test_a_killed_run_leaves_nothing_that_looks_whole(root: Path, monkeypatch, capsys) -> None:
    out = root / "out"
    assert main([str(root / "raw"), str(out), "group"]) == 0
    assert not (out / UNFINISHED).exists()
    (out / "group.html").touch()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_all", killed)
        assert main([str(root / "raw"), str(out), "group"]) == 130
    assert (out / UNFINISHED).exists() and not (out / "group.html").exists()
    assert main([str(root / "raw"), str(out), "group", "--reports-only"]) == 66
    description = {"Name": "x", "BIDSVersion": "1.11.1", "GeneratedBy": [{"Name": "thalbids"}], "SourceDatasets": []}
    (out / "dataset_description.json").write_text(json.dumps(description))
    (out / ".bidsignore").touch()
    assert main(["share", str(out), str(root / "copy"), "--license", "CC0"]) == 2
    assert "a group run has not ended" in capsys.readouterr().err
    assert main([str(root / "raw"), str(out), "group"]) == 0
    assert not (out / UNFINISHED).exists()


def test_folders_that_no_file_system_likes_cost_nobody_else(root: Path) -> None:
    (root / "out" / f"sub-{'x' * 240}" / "anat").mkdir(parents=True)
    (root / "out" / "sub-03").symlink_to("sub-03")
    (root / "out" / "sub-04").symlink_to("nowhere")
    (root / "out" / "sub-05").write_text("no folder, and nobody's")
    assert lost(root) == set()
    circle, nowhere = cohort(root).lost
    assert circle.startswith("warning: sub-03 left out, in whole or in part: cannot be read: sub-03 (")
    assert nowhere.startswith("warning: sub-04 left out")


@pytest.mark.parametrize("where", ["sub-09/ses-1", "sub-09/ses-1/anat", "sub-09/anat"])
def test_a_folder_of_results_that_cannot_be_read_is_named(root: Path, where: str) -> None:
    folder = root / "out" / where
    folder.parent.mkdir(parents=True)
    folder.symlink_to(folder.name)
    (note,) = cohort(root).lost
    assert note.startswith(f"warning: sub-09 left out, in whole or in part: cannot be read: {where} (")
