"""A copy that can be given away: what goes in, what stays out, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids.results.share import LeakError, share
from thalbids.cli.main import main
from thalbids.errors import NoInputError, UsageError, own_names
from thalbids.files import read_table

OPTIONS = {"what": "masks", "subjects": (), "dates": "drop", "license_name": "CC0", "faces_removed": False}


IMAGE = gzip.compress(nib.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.eye(4)).to_bytes())


def give(out: Path, destination: Path, **changed) -> list[str]:
    return [path.as_posix() for path in share(out, destination, **OPTIONS | changed)]


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two people with one session each, in the shape of a finished run."""
    root = tmp_path / "home" / "study" / "out"
    tools = [{"Name": "thalbids", "Version": "1.0"}, {"Name": "FSL", "Version": "6.0.7"}]
    write(
        root / "dataset_description.json",
        {"Name": "thalbids", "BIDSVersion": "1.11.1", "DatasetType": "derivative", "GeneratedBy": tools}
        | {"SourceDatasets": [{"URL": "../raw", "DOI": "doi:10.1/x"}], "DatasetLinks": {"raw": "../raw"}},
    )
    write(root / ".bidsignore", "*.html\n")
    write(root / "descriptions.tsv", "desc_id\tdescription\ndesc-synthalT1w\tSynThal\n")
    write(root / "group_volumes.tsv", "participant_id\tvolume_ml\nsub-01\t7.1\n")
    write(root / "group_ratings.tsv", "rater\tcomment\nA. Person\tmy neighbour\n")
    known = ("volumes", "ratings", "change", "agreement", "rating_agreement", "overlap", "conflicts")
    write(root / "logs/group/tables.txt", "\n".join(f"group_{name}" for name in known))
    write(root / "sub-01.html", "<html>")
    write(root / "logs/20260101T000000_1/run.log", "/home/someone")
    for label in ("01", "02"):
        stem = f"sub-{label}/ses-1/anat/sub-{label}_ses-1"
        write(
            root / f"{stem}_desc-thalamus_morph.tsv",
            f"method\tscanned\tvolume_mm3\nsynthalT1w\t2021-03-0{label[1]}T10:00:00\t0.1\n",
        )
        write(root / f"{stem}_desc-thalamus_morph.json", {"method": {"Description": "seen on 2021-05-01"}})
        write(root / f"{stem}_desc-thalamus_qc.json", {"Notes": ["one", "two"], "Scan": "2021-03-05"})
        write(root / f"{stem}_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz", IMAGE)
        write(
            root / f"{stem}_space-T1w_label-thalamus_desc-synthalT1w_mask.json",
            {"Sources": ["bids::sub-01/a/b.nii.gz"]},
        )
        write(root / f"{stem}_desc-reoriented_T1w.nii.gz", IMAGE)
        write(root / f"{stem}_desc-reoriented_T1w.json", {"SkullStripped": False})
        write(root / f"sub-{label}/figures/sub-{label}_mask.nii.gz", "x")
    return root


def test_masks_and_tables_go_in_and_nothing_else(out, tmp_path):
    written = give(out, tmp_path / "copy")
    assert "sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz" in written
    assert "group_volumes.tsv" in written
    assert not [name for name in written if re.search(r"html|logs|figures|reoriented|ratings", name)]
    assert (
        len(written) == 4 + 1 + 2 * 5
    )  # description, ignore, readme, register; group; per person 3 tables, mask, sidecar


def test_tables_only(out, tmp_path):
    written = give(out, tmp_path / "copy", what="tables")
    assert not [name for name in written if name.endswith(".nii.gz")]
    assert "sub-02/ses-1/anat/sub-02_ses-1_desc-thalamus_qc.json" in written


def test_dates_are_dropped(out, tmp_path):
    give(out, tmp_path / "copy")
    text = "".join(p.read_text() for p in (tmp_path / "copy").rglob("*") if p.suffix in (".json", ".tsv"))
    assert "2021-" not in text
    table = (tmp_path / "copy/sub-01/ses-1/anat/sub-01_ses-1_desc-thalamus_morph.tsv").read_text()
    assert table == "method\tscanned\tvolume_mm3\nsynthalT1w\tn/a\t0.1\n"


def test_shifted_dates_keep_their_distance_within_a_person(out, tmp_path):
    give(out, tmp_path / "copy", dates="shift")
    shifts = {}
    for label in ("01", "02"):
        folder = tmp_path / f"copy/sub-{label}/ses-1/anat"
        cell = (folder / f"sub-{label}_ses-1_desc-thalamus_morph.tsv").read_text().split()[4]
        qc = json.loads((folder / f"sub-{label}_ses-1_desc-thalamus_qc.json").read_text())["Scan"]
        assert cell.endswith("T10:00:00")
        first, second = date.fromisoformat(cell[:10]), date.fromisoformat(qc)
        assert second - first == date(2021, 3, 5) - date(2021, 3, int(label))
        shifts[label] = (first - date(2021, 3, int(label))).days
    assert all(30 <= abs(days) <= 365 for days in shifts.values())


def test_the_description_names_tools_and_licence_and_no_place(out, tmp_path):
    give(out, tmp_path / "copy")
    description = json.loads((tmp_path / "copy/dataset_description.json").read_text())
    assert description["License"] == "CC0"
    assert [tool["Name"] for tool in description["GeneratedBy"]] == ["thalbids", "FSL"]
    assert description["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    assert ".." not in json.dumps(description)


def test_some_people_only(out, tmp_path):
    written = give(out, tmp_path / "copy", subjects=("sub-02",))
    assert not [name for name in written if "sub-01" in name]
    assert "group_volumes.tsv" not in written


@pytest.mark.parametrize(
    "text", ["/home/someone/raw/x.nii", "C:\\\\data", "file:///x", "{host} did it", "see /mnt/store/a"]
)
def test_a_text_that_gives_away_the_machine_is_refused_and_nothing_is_left(out, tmp_path, monkeypatch, text):
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17")
    monkeypatch.setattr("thalbids.bids.results.share.own_names", own_names.__wrapped__)
    text = text.format(host="node-17")
    write(out / "sub-02/ses-1/anat/sub-02_ses-1_desc-thalamus_qc.json", {"Notes": [text]})
    with pytest.raises(LeakError, match=r"sub-02_ses-1_desc-thalamus_qc\.json"):
        give(out, tmp_path / "copy")
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


def test_texts_that_only_look_like_paths_are_shared(out, tmp_path):
    fine = ["and/or", "1/s", "bids:raw:sub-01/anat/sub-01_T1w.nii.gz", "https://github.com/ANTsX/ANTsPy", "2/3 of it"]
    write(out / "sub-02/ses-1/anat/sub-02_ses-1_desc-thalamus_qc.json", {"Notes": fine})
    assert give(out, tmp_path / "copy")


def test_whole_heads_are_refused_unless_faces_were_removed(out, tmp_path):
    with pytest.raises(UsageError, match="2 images show a whole head"):
        give(out, tmp_path / "copy", what="all")
    written = give(out, tmp_path / "copy", what="all", faces_removed=True)
    assert "sub-01/ses-1/anat/sub-01_ses-1_desc-reoriented_T1w.nii.gz" in written


def test_no_licence(out, tmp_path):
    with pytest.raises(UsageError, match="names no licence"):
        give(out, tmp_path / "copy", license_name="")


def test_places_that_will_not_do(out, tmp_path):
    with pytest.raises(UsageError, match="inside the dataset"):
        give(out, out / "copy")
    write(tmp_path / "used/file", "x")
    with pytest.raises(UsageError, match="in use"):
        give(out, tmp_path / "used")
    (tmp_path / "empty").mkdir()
    assert give(out, tmp_path / "empty")
    with pytest.raises(NoInputError):
        give(tmp_path / "used", tmp_path / "copy")
    with pytest.raises(NoInputError, match="participants here: sub-01, sub-02"):
        give(out, tmp_path / "copy", subjects=("09",))


def test_a_mask_that_the_table_does_not_list_is_not_shared(out, tmp_path):
    stem = out / "sub-01/ses-1/anat/sub-01_ses-1"
    write(Path(f"{stem}_space-T1w_label-thalamus_desc-freesurfer_mask.nii.gz"), "left from an earlier run")
    write(Path(f"{stem}_space-T1w_label-thalamus_desc-freesurfer_mask.json"), {})
    assert not [name for name in give(out, tmp_path / "copy") if "freesurfer" in name]


def test_links_are_followed(out, tmp_path):
    mask = out / "sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz"
    mask.rename(tmp_path / "store")
    mask.symlink_to(tmp_path / "store")
    give(out, tmp_path / "copy")
    copied = tmp_path / "copy" / mask.relative_to(out)
    assert copied.read_bytes() == IMAGE
    assert not copied.is_symlink()


QC = "sub-02/ses-1/anat/sub-02_ses-1_desc-thalamus_qc.json"


@pytest.mark.parametrize(
    "text", ["5/3/2021", "5.3.2021", "2021/3/5", "20210305", "5 March 2021", "mar 5, 2021", "05-MAR-2021"]
)
def test_dates_that_others_wrote_are_dropped(out, tmp_path, text):
    write(out / QC, {"Notes": [f"seen {text}, well"]})
    give(out, tmp_path / "copy", dates="shift")
    assert json.loads((tmp_path / "copy" / QC).read_text()) == {"Notes": ["seen n/a, well"]}


def test_what_only_looks_like_a_date_stays(out, tmp_path):
    fine = ["2026.4.1", "20210399", "20210305.25", "a20210305b", "1993 and 2021", "8053ba20210305"]
    write(out / QC, {"Notes": fine})
    give(out, tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / QC).read_text()) == {"Notes": fine}


def test_in_tables_of_the_group_each_row_moves_as_its_person_does(out, tmp_path):
    rows = ["sub-01\t2021-03-05", "sub-02\t2021-03-05", "sub-01\t2022-03-05", "n/a\t2021-03-05"]
    write(out / "group_volumes.tsv", "\n".join(["participant_id\tacq_time", *rows]) + "\n")
    give(out, tmp_path / "copy", dates="shift")
    table = [row["acq_time"] for row in read_table(tmp_path / "copy/group_volumes.tsv")]
    assert table[3] is None
    first, other, later = (date.fromisoformat(str(text)) for text in table[:3])
    assert later - first == date(2022, 3, 5) - date(2021, 3, 5)
    folder = tmp_path / "copy/sub-01/ses-1/anat"
    own = date.fromisoformat(json.loads((folder / "sub-01_ses-1_desc-thalamus_qc.json").read_text())["Scan"])
    assert own == first
    assert {abs((moved - date(2021, 3, 5)).days) > 29 for moved in (first, other)} == {True}


def test_names_of_raters_do_not_go_out(out, tmp_path):
    write(out / "group_agreement.tsv", "rater\tdice\nA. Person\t0.8\nB. Body\t0.9\nall\t0.85\nn/a\t1\n")
    write(out / "group_rating_agreement.tsv", "rater\trater2\tkappa\nB. Body\tA. Person\t0.5\n")
    write(out / "group_conflicts.tsv", "participant_id\tvalue\nsub-01\tcall the mother\n")
    reason = "failed by rater A. Person (too large); passed by B. Body"
    write(
        out / QC, {"FailedByRater": [{"Sha256": "ab", "Reason": reason}], "Notes": [f"the rating ({reason}) is old."]}
    )
    written = give(out, tmp_path / "copy")
    texts = "".join((tmp_path / "copy" / name).read_text() for name in written if not name.endswith(".gz"))
    assert not re.search("Person|Body|mother", texts)
    assert (tmp_path / "copy/group_agreement.tsv").read_text().split() == (
        ["rater", "dice", "rater1", "0.8", "rater2", "0.9", "all", "0.85", "n/a", "1"]
    )
    assert (tmp_path / "copy/group_rating_agreement.tsv").read_text().splitlines()[1] == "rater2\trater1\t0.5"


def test_a_name_in_the_key_of_a_json_file_is_seen(out, tmp_path):
    write(out / QC, {"Notes": {"/home/someone/x": 1}})
    with pytest.raises(LeakError):
        give(out, tmp_path / "copy")


def test_what_a_killed_copy_left_is_removed_and_not_what_another_is_at_work_on(out, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, busy = (tmp_path / f".tmp-copy-{number}" for number in (ended.pid, os.getppid()))
    write(left / "sub-01" / "half", "x")
    write(busy / "half", "x")
    give(out, tmp_path / "copy")
    assert not left.exists()
    assert busy.exists()


def test_the_command(out, tmp_path, capsys):
    assert main(["share", str(out), str(tmp_path / "copy"), "--license", "CC0", "--participant_label", "01"]) == 0
    assert "of 1 participant are in" in capsys.readouterr().out
    assert main(["share", str(out), str(tmp_path / "copy")]) == 2


def test_files_of_others_stay(out, tmp_path):
    write(out / "group_key.tsv", "participant_id\tname\nsub-01\tA. Person\n")
    folder = out / "sub-01/ses-1/anat"
    others = ("sub-01_ses-1_key_morph.tsv", "sub-01_ses-1_desc-key_morph.tsv", "sub-01_ses-1_desc-notes_qc.json")
    for name in (*others, "sub-02_ses-1_desc-thalamus_morph.tsv", "sub-01_desc-icv_morph.tsv"):
        write(folder / name, "{}" if name.endswith("json") else "a\tb\n1\t2\n")
    written = give(out, tmp_path / "copy")
    assert not [name for name in written if "key" in name or "notes" in name]
    assert "sub-01/ses-1/anat/sub-02_ses-1_desc-thalamus_morph.tsv" not in written
    assert "sub-01/ses-1/anat/sub-01_ses-1_desc-thalamus_morph.tsv" in written


@pytest.mark.parametrize(
    ("head", "mask", "fine"),
    [(False, "brain", True), (True, "brain", False), (False, "", False), (False, "everything", False)],
)
def test_a_whole_head_does_not_leave_because_its_sidecar_says_so(out, tmp_path, head, mask, fine):
    grid = np.linalg.norm(np.indices((120, 120, 120)) - 59.5, axis=0) * 2  # a brain of 60 mm, a head of 85 mm; 2 mm
    brain = (grid < 60).astype(np.uint8)
    scan = (grid < (85 if head else 60)).astype(np.float32) * 100
    files = {"desc-reoriented_T1w": scan}
    files |= {"desc-brain_mask": brain if mask == "brain" else np.ones_like(brain)} if mask else {}
    for label in ("01", "02"):
        stem = out / f"sub-{label}/ses-1/anat/sub-{label}_ses-1"
        for name, data in files.items():
            content = nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])).to_bytes()
            write(Path(f"{stem}_{name}.nii.gz"), gzip.compress(content, 1))
        write(Path(f"{stem}_desc-brain_mask.json"), {})
        write(Path(f"{stem}_desc-reoriented_T1w.json"), {"SkullStripped": True})
    if fine:
        assert "sub-01/ses-1/anat/sub-01_ses-1_desc-reoriented_T1w.nii.gz" in give(out, tmp_path / "copy", what="all")
        return
    with pytest.raises(UsageError, match="2 images show a whole head"):
        give(out, tmp_path / "copy", what="all")


def test_words_in_the_headers_of_images_and_gzip_files_stay_here(out, tmp_path):
    stem = "sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz"
    image = nib.Nifti1Image(np.arange(512, dtype=np.uint8).reshape(8, 8, 8), np.diag([1.0, 2, 3, 1]))
    image.header["descrip"] = b"Jane Doe"
    image.header["aux_file"] = b"jane.nii"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, born in 1970"))
    with (out / stem).open("wb") as stream, gzip.GzipFile("Jane_Doe.nii", "wb", fileobj=stream) as file:
        file.write(image.to_bytes() + b"Jane Doe")
    give(out, tmp_path / "copy")
    content = (tmp_path / "copy" / stem).read_bytes()
    assert b"Jane" not in content and b"Jane" not in gzip.decompress(content)
    copied = nib.load(tmp_path / "copy" / stem)
    assert (np.asarray(copied.dataobj) == np.asarray(image.dataobj)).all()
    assert (copied.affine == image.affine).all() and len(copied.header.extensions) == 0
    untouched = stem.replace("sub-01", "sub-02")
    assert (tmp_path / "copy" / untouched).read_bytes() == (out / untouched).read_bytes()


def test_an_image_that_is_none_is_refused(out, tmp_path):
    stem = "sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz"
    for content in (b"Jane Doe", gzip.compress(b"Jane Doe" * 100), IMAGE[:60]):
        (out / stem).write_bytes(content)
        with pytest.raises(LeakError, match="not one that thalbids writes"):
            give(out, tmp_path / "copy")


def test_units_that_are_none_stay_here(out, tmp_path):
    name = "sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-thalamus_desc-synthalT1w_mask.json"
    parameters = {"Units": "Jane Doe's map", "More": [{"Units": "1/s"}, {"Units": None}]}
    write(out / name, {"Units": "arbitrary", "Provenance": {"Parameters": parameters}})
    give(out, tmp_path / "copy")
    shared = json.loads((tmp_path / "copy" / name).read_text())
    assert shared["Units"] == "arbitrary"
    assert shared["Provenance"]["Parameters"] == {"Units": "n/a", "More": [{"Units": "1/s"}, {"Units": None}]}
