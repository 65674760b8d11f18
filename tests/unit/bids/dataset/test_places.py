"""Who is a session, who is not, and that nobody is left out without a word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import world_image
from thalbids.bids.dataset.inputs import DatasetSessions, read_dataset
from thalbids.cli.main import main
from thalbids.errors import NoInputError

T1W = "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
GOOD = "sub-good/anat/sub-good_T1w.nii.gz"


def names(found: DatasetSessions) -> dict[str, str | None]:
    """Every session and its problem."""
    return {session.name: session.problem for session in found.sessions}


def test_sessions_of_function_or_meg_are_none_of_ours(tree) -> None:
    root = tree(T1W, "sub-01/ses-2/func/sub-01_ses-2_bold.nii.gz", "sub-01/ses-3/meg/sub-01_ses-3_meg.fif",
                "sub-emptyroom/ses-1/meg/x.fif", "sub-02/ses-1/anat/sub-02_ses-1_T2star.nii.gz")  # fmt: skip
    found = read_dataset(root)
    assert names(found) == {"sub-01_ses-1": None}
    assert found.remarks == (
        "warning: 1 session with an anat/ folder but without an image that thalbids uses, left out: sub-02_ses-1.",
        (
            "3 sessions without an image that thalbids uses (function, MEG ...), left out: "
            "sub-01_ses-2, sub-01_ses-3, sub-emptyroom_ses-1."
        ),
    )
    assert found.lost == ()


def test_images_of_other_formats_are_named_with_what_to_do(tree) -> None:
    root = tree(
        T1W, "sub-01/ses-1/anat/sub-01_ses-1_T1w.mgz", "sub-01/ses-1/anat/sub-01_ses-1_T2starw.mgz",
        "sub-02/anat/sub-02_T1w.mgz", "sub-03/anat/sub-03_T1w.hdr", "sub-03/anat/sub-03_T1w.img",
        "sub-04/anat/sub-04_T1w.NRRD", "sub-05/anat/IM0001.dcm", "sub-05/anat/IM0002.dcm",
        "sub-06/anat/sub-06_FLAIR.nii.gz", "sub-06/anat/sub-06_T1w.mnc",
    )  # fmt: skip
    found = read_dataset(root)
    assert names(found) == {"sub-01_ses-1": None, "sub-06": None}
    named = ["sub-02/anat/sub-02_T1w.mgz", "sub-03/anat/sub-03_T1w.img", "sub-04/anat/sub-04_T1w.NRRD",
             "sub-05/anat/IM0001.dcm", "sub-06/anat/sub-06_T1w.mnc"]  # fmt: skip
    assert found.remarks == (
        f"warning: not used, as BIDS wants NIfTI: {', '.join(named)}. Convert to .nii.gz.",
        (
            "warning: 4 sessions with an anat/ folder but without an image that thalbids uses, left out: "
            "sub-02, sub-03, sub-04, sub-05."
        ),
    )


def test_where_all_images_are_of_other_formats_the_error_names_them(tree) -> None:
    with pytest.raises(NoInputError, match=r"sub-02/anat/sub-02_T1w\.mgz\. Convert to \.nii\.gz\."):
        read_dataset(tree("sub-02/anat/sub-02_T1w.mgz"))


def test_files_in_place_of_folders_are_named(tree) -> None:
    """Copies of a dataset with links onto a file system without them leave texts."""
    root = tree(GOOD, "sub-02", "sub-03/ses-1", "sub-04/anat", "sub-05/ses-2/anat", "sub-06.zip", "sub-07/ses-1.tsv")
    named = "sub-02, sub-03/ses-1, sub-04/anat, sub-05/ses-2/anat"
    text = "warning: not read, files in place of folders (links that a copy made text of?)"
    assert f"{text}: {named}." in read_dataset(root).remarks


def test_an_image_that_scans_tsv_names_and_that_is_not_there_is_a_failure(tree) -> None:
    scans = "filename\tacq_time\nanat/sub-01_ses-{0}_T1w.nii.gz\tn/a\nfunc/sub-01_ses-{0}_bold.nii.gz\tn/a\n"
    root = tree(T1W, "sub-01/ses-3/anat/sub-01_ses-3_T1w.nii.gz", "sub-01/ses-4/func/x.nii.gz", **{
        "sub-01/ses-1/sub-01_ses-1_scans.tsv": scans.format(1),
        "sub-01/ses-2/sub-01_ses-2_scans.tsv": scans.format(2),
        "sub-01/ses-3/sub-01_ses-3_scans.tsv": "filename\nanat/sub-01_ses-3_FLAIR.nii.gz\n",
        "sub-01/ses-4/sub-01_ses-4_scans.tsv": "filename\nfunc/x.nii.gz\n",
    })  # fmt: skip
    found = read_dataset(root)
    assert names(found) == {
        "sub-01_ses-1": None,
        "sub-01_ses-2": "no image: its scans.tsv names sub-01_ses-2_T1w.nii.gz, which is not there.",
        "sub-01_ses-3": None,
    }
    assert "its scans.tsv names sub-01_ses-3_FLAIR.nii.gz, which is not there." in found.sessions[2].notes


def test_folders_whose_label_breaks_the_rule_are_named_with_it(tree) -> None:
    root = tree(GOOD, "sub-P-003/anat/x", "sub-P_004/anat/x", "sub-é/anat/x", "sub-good/ses-pre_op/anat/x", "sub-x.txt")
    found = read_dataset(root)
    assert names(found) == {"sub-good": None}
    (remark,) = found.remarks
    assert remark == (
        "warning: not read, as a label holds only letters, digits and +: sub-P-003, sub-P_004, sub-é, "
        "sub-good/ses-pre_op. Rename the folder and its files (such as sub-P003)."
    )


def test_folders_that_were_probably_meant_are_named(tree) -> None:
    root = tree(GOOD, "SUB-01/anat/x", "sub_02/anat/x", "sub03/anat/x", "sub-good/SES-1/anat/x",
                "sub-good/ses_2/anat/x", "sub-05/Anat/sub-05_T1w.nii.gz", "sub-06/ses-1/ANAT/sub-06_ses-1_T1w.nii.gz",
                "sub.txt", "subjects/x", "sub-good/session-notes/x", "anatomy/x")  # fmt: skip
    found = read_dataset(root)
    assert names(found) == {"sub-good": None}
    (remark,) = (remark for remark in found.remarks if "lower case" in remark)
    assert remark == (
        "warning: not read, as folders are named sub-LABEL, ses-LABEL and anat, in lower case: SUB-01, sub03, sub_02, "
        "sub-05/Anat, sub-good/SES-1, sub-good/ses_2, sub-06/ses-1/ANAT."
    )


def test_links_in_a_circle_beside_people_and_sessions_stop_nothing(tree) -> None:
    root = tree(T1W)
    for name in ("loop", "Sub-02", "sub-01/loop", "sub-01/Ses-2", "sub-01/ses-1/Anat"):
        (root / name).symlink_to((root / name).name)
    assert names(read_dataset(root)) == {"sub-01_ses-1": None}


def test_people_whose_labels_nearly_match_are_told_and_processed(tree) -> None:
    root = tree(*(f"sub-{label}/anat/sub-{label}_T1w.nii.gz" for label in ("1", "01", "A2", "a2", "10")))
    found = read_dataset(root)
    assert set(names(found).values()) == {None} and len(found.sessions) == 5
    (remark,) = found.remarks
    assert remark == "warning: labels that nearly match count as several people: sub-01 and sub-1, sub-A2 and sub-a2."


def test_visits_whose_labels_nearly_match_or_that_have_none_beside_others_are_told(tree) -> None:
    root = tree(
        *(
            f"sub-{p}/ses-{s}/anat/sub-{p}_ses-{s}_T1w.nii.gz"
            for p, s in (("1", "1"), ("1", "01"), ("2", "1"), ("3", "10"))
        )
    )
    (root / "sub-2" / "anat").mkdir()
    (root / "sub-2" / "anat" / "sub-2_T1w.nii.gz").write_bytes(b"x")
    assert list(read_dataset(root).remarks) == [
        "warning: labels that nearly match count as several visits: sub-1_ses-01 and sub-1_ses-1.",
        (
            "warning: images beside the folders of sessions count as a visit of their own: sub-2. Put them into a "
            "ses-* folder."
        ),
    ]


def test_broken_links_are_failed_sessions(tree) -> None:
    root = tree(GOOD, T1W, "sub-04/ses-1/anat/sub-04_ses-1_T1w.nii.gz")
    (root / "sub-02").symlink_to("nowhere")
    (root / "sub-03").symlink_to("sub-03")
    (root / "sub-01" / "ses-2").symlink_to("../nowhere")
    (root / "sub-04" / "ses-2").mkdir()
    (root / "sub-04" / "ses-2" / "anat").symlink_to("nowhere")
    found = names(read_dataset(root))
    assert {name for name, problem in found.items() if problem is None} == {"sub-good", "sub-01_ses-1", "sub-04_ses-1"}
    assert {name for name, problem in found.items() if problem and "leads nowhere" in problem} == {
        "sub-02", "sub-03", "sub-01_ses-2", "sub-04_ses-2",
    }  # fmt: skip


@pytest.mark.parametrize("closed", ["sub-01", "sub-01/ses-2", "sub-01/ses-2/anat"])
@pytest.mark.parametrize("database", [False, True])
def test_a_folder_that_may_not_be_read_fails_alone(tree, tmp_path: Path, monkeypatch, closed: str, database) -> None:
    root = tree(GOOD, T1W, T1W.replace("ses-1", "ses-2"))
    scan, entries = os.listdir, os.scandir

    def refuse(real):
        def call(folder="."):
            if not isinstance(folder, int) and Path(os.fsdecode(folder)) == root / closed:
                raise PermissionError(13, "Permission denied")
            return real(folder)

        return call

    monkeypatch.setattr(os, "listdir", refuse(scan))  # the tests may run as root, whom no permission stops
    monkeypatch.setattr(os, "scandir", refuse(entries))
    found = names(read_dataset(root, database_dir=tmp_path / "db" if database else None))
    bad = "sub-01" if closed == "sub-01" else "sub-01_ses-2"
    assert "Permission denied" in str(found.pop(bad))
    assert set(found.values()) == {None}
    assert "sub-good" in found


def test_a_name_that_is_no_text_costs_that_file_alone(tree) -> None:
    root = tree(GOOD)
    odd = os.fsdecode(b"sub-good_acq-\xff_FLAIR.nii.gz")
    (root / "sub-good/anat" / odd).touch()
    (root / "sub-good/anat/sub-good_acq-a b_FLAIR.nii.gz").touch()
    found = read_dataset(root)
    assert names(found) == {"sub-good": None}
    assert list(found.sessions[0].images) == ["T1w"]
    assert "not used, the name does not follow BIDS" in found.remarks[0] and odd in found.remarks[0]


def test_labels_that_no_file_system_holds_are_lost_and_counted(tree, tmp_path: Path) -> None:
    long = "x" * 240
    root = tree(GOOD, f"sub-{long}/anat/sub-1_T1w.nii.gz")
    found = read_dataset(root)
    assert names(found) == {"sub-good": None}
    assert len(found.lost) == 1 and long in found.lost[0]
    assert found.remarks == (f"warning: {found.lost[0]}",)


def test_nothing_of_ours_at_all_is_no_input(tree, capsys) -> None:
    root = tree("sub-01/func/x.nii.gz", "sub-02/anat/sub-02_T2star.nii.gz")
    with pytest.raises(NoInputError, match=r"no session holds an image.*1 session with an anat/.*sub-02.*sub-01"):
        read_dataset(root)
    assert main([str(root), str(root / "out"), "participant", "--dry-run"]) == 66


def test_a_subject_whose_sessions_are_not_read_is_told_once(tree) -> None:
    found = read_dataset(tree(GOOD, "sub-01/ses-pre-op/anat/x.nii.gz", "sub-02/func/x.nii.gz"))
    assert [remark for remark in found.remarks if "sub-01" in remark] == [found.remarks[0]]
    assert "sub-01/ses-pre-op. Rename" in found.remarks[0]
    assert found.remarks[1].startswith("1 session without an image") and found.remarks[1].endswith("left out: sub-02.")


def test_a_plan_in_which_nothing_can_be_processed_ends_with_66(tree, tmp_path: Path, capsys) -> None:
    root = tree("sub-01/anat/sub-01_chunk-1_T1w.nii.gz")
    assert main([str(root), str(tmp_path / "out"), "participant", "--dry-run"]) == 66
    assert "cannot be processed" in capsys.readouterr().out


def test_what_every_session_lacks_is_said_once(tree, tmp_path: Path, capsys) -> None:
    root = tree(*(f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in range(3)), "sub-0/anat/sub-0_FLAIR.nii.gz")
    assert main([str(root), str(tmp_path / "out"), "participant", "--dry-run"]) == 0  # placeholders
    shown = capsys.readouterr().out
    assert shown.count("R1map: none found") == 1
    assert shown.count("FLAIR: none found") == 2


def test_the_magnitude_is_taken_where_there_is_no_whole_image(tree) -> None:
    root = tree("sub-01/anat/sub-01_part-mag_T1w.nii.gz", "sub-01/anat/sub-01_part-phase_T1w.nii.gz")
    (session,) = read_dataset(root).sessions
    assert session.images["T1w"].path.name == "sub-01_part-mag_T1w.nii.gz"
    assert "T1w: sub-01_part-mag_T1w.nii.gz is used, the magnitude, as there is no whole image." in session.notes
    (root / "sub-01/anat/sub-01_acq-z_T1w.nii.gz").touch()
    assert read_dataset(root).sessions[0].images["T1w"].path.name == "sub-01_acq-z_T1w.nii.gz"


@pytest.mark.parametrize(
    ("name", "sidecar", "agent"),
    [("ce-gad_T1w", {}, "ce-gad"), ("T1w", {"ContrastBolusIngredient": "GADOLINIUM"}, "GADOLINIUM")],
)
def test_contrast_agent_is_told(tree, name: str, sidecar: dict, agent: str) -> None:
    root = tree(f"sub-01/anat/sub-01_{name}.nii.gz", **{f"sub-01/anat/sub-01_{name}.json": sidecar})
    (session,) = read_dataset(root).sessions
    assert session.notes[0].startswith(f"T1w: with contrast agent ({agent})")


@pytest.mark.parametrize("label", ["none", "No"])
def test_the_entity_may_say_that_there_was_no_contrast_agent(tree, label: str) -> None:
    (session,) = read_dataset(tree(f"sub-01/anat/sub-01_ce-{label}_T1w.nii.gz")).sessions
    assert not any("contrast agent" in note for note in session.notes)


def test_an_image_without_contrast_agent_comes_first_by_its_sidecar_too(tree) -> None:
    agents = {"run-1": "GADOLINIUM", "run-2": "none"}
    sidecars = {
        f"sub-01/anat/sub-01_{run}_T1w.json": {"ContrastBolusIngredient": agent} for run, agent in agents.items()
    }
    root = tree(*(f"sub-01/anat/sub-01_{run}_T1w.nii.gz" for run in agents), **sidecars)
    (session,) = read_dataset(root).sessions
    assert session.images["T1w"].path.name == "sub-01_run-2_T1w.nii.gz"
    assert not any("contrast agent" in note for note in session.notes)


def test_what_bidsignore_names_is_used_and_told(tree) -> None:
    root = tree(GOOD, "sub-good/anat/sub-good_FLAIR.nii.gz", **{".bidsignore": "# ours\n*_FLAIR.nii.gz\n"})
    (session,) = read_dataset(root).sessions
    assert "FLAIR" in session.images
    assert any(".bidsignore names it" in note and note.startswith("FLAIR") for note in session.notes)
    assert not any(".bidsignore" in note for note in session.notes if note.startswith("T1w"))


def test_control_characters_of_names_do_not_reach_the_terminal(tree, tmp_path: Path, capsys) -> None:
    root = tree("sub-01/anat/sub-01_chunk-1_T1w.nii.gz", "sub-\x1b[2J/anat/x")
    (root / "sub-01/anat/sub-01_acq-\x1b]0;x\x07\u202e_T1w.nii.gz").touch()
    (root / "sub-01/anat" / os.fsdecode(b"sub-01_acq-\xff\r_T1w.nii.gz")).touch()
    assert main([str(root), str(tmp_path / "out"), "participant", "--dry-run"]) == 66
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not set(text) & set("\x1b\x07\r\u202e")
    assert "\\x1b[2J" in shown.out + shown.err
    assert main(["\x1b[31mx", str(tmp_path), "participant"]) == 66
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.timeout(60)
def test_many_images_are_listed_in_seconds(tree) -> None:
    root = tree(*(f"sub-{n:03d}/ses-{s}/anat/sub-{n:03d}_ses-{s}_T1w.nii.gz" for n in range(150) for s in "12"))
    assert len(read_dataset(root).sessions) == 300


def test_all_of_it_in_a_run(tree, tmp_path: Path, monkeypatch, capsys) -> None:
    """Only broken sessions and one that is lost: no network has to run; each is said, and the run ends with 1."""
    root = tree(f"sub-{'y' * 240}/anat/sub-1_T1w.nii.gz", "sub-03/func/x", "sub-P_1/anat/x")
    (root / "sub-02").symlink_to("nowhere")
    world_image().to_filename(root / "sub-03/func/x.nii.gz")
    assert main([str(root), str(tmp_path / "out"), "participant"]) == 1
    shown = capsys.readouterr().err
    last = shown[shown.index("FAILED sub-02 inputs") :]  # after the notes of the start
    for text in ("sub-P_1", "yyyy", "sub-03", "leads nowhere"):
        assert text in last
    assert (tmp_path / "out" / "sub-02.html").exists()


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("raw/sub-01", "thalbids {0}/raw OUTPUT_DIR participant --participant-label 01"),
        ("raw/sub-01/ses-1", "thalbids {0}/raw OUTPUT_DIR participant --participant-label 01 --session-label 1"),
        ("raw/sub-01/ses-1/anat", "participant --participant-label 01 --session-label 1"),
        ("", "BIDS_DIR must be the folder that holds them: here {0}/raw."),
        ("empty", "BIDS_DIR must be the folder that holds them."),
    ],
)
def test_a_folder_beside_the_dataset_is_answered_with_the_right_one(tmp_path: Path, inside: str, said: str) -> None:
    (tmp_path / "raw" / "sub-01" / "ses-1" / "anat").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputError) as caught:
        read_dataset(tmp_path / inside)
    assert str(caught.value).endswith(said.format(tmp_path))
