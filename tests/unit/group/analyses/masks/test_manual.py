"""The group level with manual masks: from files on disk to tables on disk."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.people import make_cohort
from tests.unit.group.test_comparison import AFFINE, box, save
from tests.unit.group.test_manual_doubts import AFFINE as THALAMI
from tests.unit.group.test_manual_doubts import thalami
from thalbids.bids.tabular.tables import write
from thalbids.cli.main import main
from thalbids.group.analyses.masks import manual
from thalbids.group.comparison import Compared
from thalbids.reports.group.group_data import Tables

METHODS = ("first", "dbsegment", "mindglideT1w", "mindglideFLAIR")
TSV = "method\timage\tvolume_mm3\tstatus\treason"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def place(root: Path, person: str, session: str = "1") -> Path:
    folder = root / person / f"ses-{session}" / "anat" if session else root / person / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mask_name(person: str, desc: str, session: str = "1", space: str = "space-T1w_") -> str:
    return f"{person}_{f'ses-{session}_' if session else ''}{space}label-thalamus_desc-{desc}_mask.nii.gz"


def length(person: int, method: str) -> int:
    """Boxes grow with the person, and differ by method."""
    return 8 + person % 7 + {"first": 3, "dbsegment": 0, "mindglideT1w": 1, "mindglideFLAIR": person % 2}[method]


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Raw data, derivatives of twelve people with four methods (two sessions for the first), empty manual folder."""
    raw, out, manual = tmp_path / "raw", tmp_path / "out", tmp_path / "manual"
    raw.mkdir()
    manual.mkdir()
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.11.1"}')
    for i in range(12):
        for session in ("1", "2") if i == 0 else ("1",):
            person = f"sub-{i:02d}"
            folder = place(out, person, session)
            rows = [TSV]
            for method in METHODS:
                data = box(6, size=(length(i, method), 8, 6))
                save(folder / mask_name(person, method, session), data)
                image = "FLAIR" if method == "mindglideFLAIR" else "T1w"
                rows.append(f"{method}\t{image}\t{data.sum() * 12}\tok\tn/a")
            table = folder / f"{person}_ses-{session}_desc-thalamus_morph.tsv"
            table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return raw, out, manual


def draw(manual: Path, i: int, desc: str = "manual", session: str = "1", grow: int = 0, x: int = 6) -> Path:
    person = f"sub-{i:02d}"
    data = box(x, size=(8 + i % 7 + grow, 8, 6))
    return save(place(manual, person, session) / mask_name(person, desc, session, ""), data)


def group(study: tuple[Path, Path, Path], *more: str) -> int:
    raw, out, manual = study
    given = ["--derivatives", f"manual={manual}"] if any(manual.iterdir()) else []
    return main([str(raw), str(out), "group", *given, *more])


def test_the_tables_of_one_rater(study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out, manual = study
    for i in range(10):
        draw(manual, i)
    draw(manual, 0, session="2")
    assert group(study) == 0
    overlap = read(out / "group_overlap.tsv")
    assert len(overlap) == 11 * 4
    row = next(r for r in overlap if r["participant_id"] == "sub-03" and r["method"] == "first")
    assert (int(row["tp"]), int(row["fp"]), int(row["fn"])) == (11 * 48, 3 * 48, 0)
    assert float(row["dice"]) == pytest.approx(22 / 25)
    assert row["rater"] == "manual"
    summary = {(r["method"], r["metric"]): r for r in read(out / "group_overlap_summary.tsv")}
    assert {int(r["n"]) for r in summary.values()} == {10}  # the second session of sub-00 does not count twice
    dice = [2 * (8 + i % 7) / (2 * (8 + i % 7) + 3) for i in range(10)]
    assert float(summary["first", "dice"]["median"]) == pytest.approx(np.median(dice))
    assert float(summary["dbsegment", "hd95_mm"]["median"]) == 0
    tests = read(out / "group_overlap_tests.tsv")
    assert len(tests) == 6 * 6
    agreement = {(r["method"], r["quantity"]): r for r in read(out / "group_agreement.tsv")}
    assert float(agreement["first", "bias"]["estimate"]) == pytest.approx(3 * 48 * 1.2 / 1000)
    assert float(agreement["first", "slope"]["estimate"]) == pytest.approx(1)
    assert "perfect" in agreement["first", "icc_c1"]["reason"]
    described = json.loads((out / "group_overlap_tests.json").read_text())
    assert described["AnalysisSettings"] == {"wilcoxon": "asymptotic"}
    told = "the earliest enters summaries and tests; for 1 of 1 by label, as not every session has a date."
    assert told in capsys.readouterr().out
    assert not (out / "group_rater_overlap.tsv").exists()


def test_the_earliest_session_counts_whatever_its_label(
    study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, manual = study
    for session, grow in (("1", 0), ("2", 3)):
        draw(manual, 0, session=session, grow=grow)
        draw(manual, 0, "b", session=session, grow=grow)
    (raw / "sub-00").mkdir()
    (raw / "sub-00" / "sub-00_sessions.tsv").write_text(
        "session_id\tacq_time\nses-1\t2022-05-01T10:00:00\nses-2\t2020-05-01T10:00:00\n"
    )
    assert group(study) == 0
    rows = {(r["session_id"], r["method"], r["rater"]): r["dice"] for r in read(out / "group_overlap.tsv")}
    assert rows["ses-1", "first", "manual"] != rows["ses-2", "first", "manual"] == "1.0"
    summary = {(r["method"], r["metric"], r["rater"]): r for r in read(out / "group_overlap_summary.tsv")}
    assert summary["first", "dice", "manual"]["median"] == "1.0"
    raters = {r["quantity"]: r for r in read(out / "group_rater_agreement.tsv")}
    assert raters["median_dice"]["n"] == "1"
    told = capsys.readouterr().out
    assert "the earliest enters summaries and tests." in told


def test_containment_is_over_the_whole_cohort_and_from_t1w_masks(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    draw(manual, 3)
    assert group(study) == 0
    rows = {(r["method_inner"], r["method_outer"]): r for r in read(out / "group_containment.tsv")}
    assert len(rows) == 6
    assert {r["n"] for r in rows.values()} == {"12"}
    assert (rows["mindglideT1w", "first"]["mean"], rows["mindglideT1w", "first"]["constructed"]) == ("1.0", "true")
    expected = np.mean([(8 + i % 7) / (11 + i % 7) for i in range(12)])
    assert float(rows["first", "dbsegment"]["mean"]) == pytest.approx(expected)


def test_all_masks_on_request(study: tuple[Path, Path, Path], tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[group]\ncontainment = "all"\nwilcoxon = "exact"\n')
    draw(study[2], 3)
    assert group(study, "--config", str(config)) == 0
    assert len(read(study[1] / "group_containment.tsv")) == 12


def test_two_raters_in_one_dataset_and_one_in_another(study: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, out, manual = study
    other = tmp_path / "other"
    for i in range(8):
        draw(manual, i, "ada")
        draw(manual, i, "bob", grow=i % 3)
        draw(other, i, "x", grow=1)
    assert group(study, f"manual2={other}") == 0
    assert {r["rater"] for r in read(out / "group_overlap.tsv")} == {"ada", "bob", "manual2"}
    pairs = read(out / "group_rater_overlap.tsv")
    assert len(pairs) == 8 * 3
    agreed = {(r["rater"], r["rater2"], r["quantity"]): r for r in read(out / "group_rater_agreement.tsv")}
    assert float(agreed["ada", "manual2", "bias"]["estimate"]) == pytest.approx(48 * 1.2 / 1000)
    assert agreed["all", "all", "icc_a1"]["n"] == "8"


def test_wrong_masks_are_named_and_left_out(study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out, manual = study
    for i in range(4):
        draw(manual, i)
    draw(manual, 5, x=27)  # another person's
    draw(manual, 40)  # nobody's
    (place(manual, "sub-06") / mask_name("sub-06", "manual", space="")).write_bytes(b"no image")
    raw = nib.Nifti1Image(box(6, size=(15, 8, 6)), AFFINE).as_reoriented(np.array([[2, 1], [0, -1], [1, 1]]))
    nib.save(raw, place(manual, "sub-07") / mask_name("sub-07", "manual", space=""))  # drawn before reorientation
    assert group(study) == 0
    shown = capsys.readouterr().out
    assert "warning: sub-05_ses-1: the mask of manual meets none of the 4 methods' masks" in shown
    assert "sessions without derivatives are not used: sub-40_ses-1 (manual)" in shown
    assert "warning: sub-06_ses-1: the mask of manual (sub-06_ses-1_label-thalamus_desc-manual_mask.nii.gz)" in shown
    assert "sub-07_ses-1: the mask of manual (32 x 40 x 36 voxels" in shown or "was put on the session's grid" in shown
    rows = read(out / "group_overlap.tsv")
    assert {r["status"] for r in rows if r["participant_id"] == "sub-05"} == {"excluded"}
    assert {r["n"] for r in read(out / "group_overlap_summary.tsv")} == {"5"}


def test_an_empty_mask_is_no_volume_of_zero(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    for i in range(8):
        for rater in ("ada", "bob", "eve"):
            draw(manual, i, rater)
    nothing = np.zeros_like(box(6))
    save(place(manual, "sub-07") / mask_name("sub-07", "ada", space=""), nothing)
    assert group(study) == 0
    agreed = {(r["rater"], r["method"], r["quantity"]): r for r in read(out / "group_agreement.tsv")}
    assert agreed["ada", "first", "ccc"]["n"] == "7"
    assert agreed["bob", "first", "ccc"]["n"] == "8"
    assert float(agreed["ada", "first", "bias"]["estimate"]) == pytest.approx(3 * 48 * 1.2 / 1000)  # 3 rows of voxels
    summary = {(r["rater"], r["method"], r["metric"]): r for r in read(out / "group_overlap_summary.tsv")}
    assert (summary["ada", "first", "dice"]["n"], summary["ada", "first", "dice"]["n_empty"]) == ("7", "1")
    between = {(r["rater"], r["rater2"], r["quantity"]): r for r in read(out / "group_rater_agreement.tsv")}
    assert (between["ada", "bob", "bias"]["n"], between["ada", "bob", "bias"]["estimate"]) == ("7", "0.0")
    assert between["all", "all", "icc_c1"]["n"] == "7"


def test_masks_without_sessions_belong_to_the_only_session(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    draw(manual, 0, session="")  # sub-00 has two sessions: not clear
    draw(manual, 1, session="")
    assert group(study) == 0
    assert {(r["participant_id"], r["session_id"]) for r in read(out / "group_overlap.tsv")} == {("sub-01", "ses-1")}


def test_a_dataset_without_one_manual_mask_is_refused_before_anything_is_computed(
    study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, manual = study
    asked = [str(raw), str(out), "group", "--derivatives", f"manual={manual}"]
    for more in ([], ["--dry-run"]):
        assert main([*asked, *more]) == 2
        told = capsys.readouterr().err
        assert "no mask is named like sub-01/" in told and "leave the option out" in told
    draw(manual, 1).rename(place(manual, "sub-01") / "sub-01_ses-1_thalamus_mask.nii.gz")
    assert main(asked) == 2
    assert "Not read for their names: sub-01_ses-1_thalamus_mask.nii.gz" in capsys.readouterr().err
    assert not any(out.glob("group_*"))


def test_without_manual_masks_or_without_any_masks(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    draw(manual, 11)
    assert group(study, "--participant-label", "00", "01") == 0
    assert "manual: it has no mask of the people" in (out / "logs" / "group" / "notes.txt").read_text(encoding="utf-8")
    assert group(study) == 0
    assert len(read(out / "group_overlap.tsv")) == len(METHODS)
    shutil.rmtree(manual / "sub-11")
    assert group(study) == 0
    assert read(out / "group_overlap.tsv") == []
    assert len(read(out / "group_containment.tsv")) == 6
    for path in out.rglob("*_mask.nii.gz"):
        path.unlink()
    assert group(study) == 0
    for name in ("overlap", "overlap_summary", "overlap_tests", "containment", "agreement"):
        assert read(out / f"group_{name}.tsv") == []


def test_excluded_masks_are_not_compared(study: tuple[Path, Path, Path]) -> None:
    _, out, manual = study
    draw(manual, 1)
    table = next(out.glob("sub-01/ses-1/anat/*morph.tsv"))
    table.write_text(table.read_text().replace("ok\tn/a", "excluded\ttouches the edge", 1))
    assert group(study) == 0
    assert [r["method"] for r in read(out / "group_overlap.tsv")] == list(METHODS[1:])


def test_no_folder_of_this_machine_in_the_tables(study: tuple[Path, Path, Path]) -> None:
    raw, out, manual = study
    draw(manual, 1)
    group(study)
    written = [path for top in out.glob("group_*") for path in (top.rglob("*") if top.is_dir() else [top])]
    assert any(path.suffix == ".docx" for path in written)
    for path in written:
        parts = [path.read_bytes()]
        if path.suffix == ".docx":
            with zipfile.ZipFile(path) as archive:
                parts = [archive.read(name) for name in archive.namelist()]
        assert not any(str(raw.parent).encode() in part for part in parts), path


def test_given_masks_that_are_not_there_stop_the_run(
    study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, manual = study
    draw(manual, 0)
    assert group(study) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main([str(raw), str(out), "group", "--derivatives", f"manual={manual / 'nope'}"]) == 66
    assert "the results given as manual are not there" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_misnamed_manual_mask_is_named(study: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out, manual = study
    for i in range(3):
        draw(manual, i)
    good = draw(manual, 3)
    good.rename(good.with_name("sub-03_ses-1_desc-manual_mask.nii.gz"))
    for other in ("desc-brain_mask", "label-brain_desc-manual_mask", "T1w"):
        (good.parent / f"sub-03_ses-1_{other}.nii.gz").touch()
    assert group(study) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "not used" in line]
    assert len(told) == 1
    assert told[0].endswith("_label-thalamus_desc-LABEL_mask.nii.gz: sub-03_ses-1_desc-manual_mask.nii.gz.")
    assert {row["participant_id"] for row in read(out / "group_overlap.tsv")} == {"sub-00", "sub-01", "sub-02"}


def test_what_the_making_of_a_mask_forbids_is_told_as_an_error(tmp_path: Path) -> None:
    names = ("first", "mindglideT1w")
    made = [
        Compared("sub-01", "ses-1", names=names, common=((1000, 900), (900, 900))),
        Compared("sub-02", "ses-1", names=names, common=((1000, 899), (899, 900))),  # a voxel outside of its envelope
    ]
    found = manual.containment_table(make_cohort([], []), made)
    assert "mindglideT1w must lie in first by construction and does not in 1 participants (sub-02)" in found.notes[0]
    write(found, tmp_path)
    (warning,) = manual.containment_section(Tables(tmp_path)).warnings
    assert warning.startswith(
        "Error: MindGlide T1w must lie in FSL FIRST by construction and does not in 1 participant"
    )


def test_a_manual_mask_that_all_methods_contradict_is_told_first_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five people whose masks all lie alike, but for one that was drawn 6 mm too far back."""
    raw, out, manual_dir = tmp_path / "raw", tmp_path / "out", tmp_path / "manual"
    raw.mkdir()
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.11.1"}')
    for i in range(5):
        person = f"sub-{i:02d}"
        for method, scale in (("first", 1.0), ("freesurfer", 1.06)):
            data = thalami(scale * (0.9 + 0.03 * i))
            save(place(out, person) / mask_name(person, method), data, THALAMI)
        rows = [TSV, *(f"{method}\tT1w\t12000\tok\tn/a" for method in ("first", "freesurfer"))]
        (place(out, person) / f"{person}_ses-1_desc-thalamus_morph.tsv").write_text("\n".join(rows) + "\n")
        drawn = np.roll(thalami(0.9 + 0.03 * i), -6 if i == 3 else 0, 1)
        save(place(manual_dir, person) / mask_name(person, "manual", space=""), drawn, THALAMI)
    assert group((raw, out, manual_dir)) == 0
    assert "warning: sub-03_ses-1: the mask of manual is in doubt: 2 of 2" in capsys.readouterr().out
    rows_of_overlap = read(out / "group_overlap.tsv")
    assert {row["participant_id"] for row in rows_of_overlap if row["doubt"] != "n/a"} == {"sub-03"}
    assert {row["status"] for row in rows_of_overlap} == {"ok"}
    assert {(row["n"], row["n_doubted"]) for row in read(out / "group_agreement.tsv")} == {("5", "1")}
    text = (out / "group.html").read_text()
    assert "1 of 5 manual masks are in doubt" in text
    assert text.index("1 of 5 manual masks are in doubt") < text.index("Overlap with the manual masks</h2>")
