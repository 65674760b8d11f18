from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from thalbids.bids.dataset.inputs import find_sessions, raw_description
from thalbids.errors import MetadataError, NoInputError, UsageError
from thalbids.types import Session

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
TWO_SESSIONS = ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")


def only(sessions: list[Session]) -> Session:
    assert len(sessions) == 1
    return sessions[0]


def chosen(session: Session, kind: str = "T1w") -> str:
    return session.images[kind].path.name


class TestSessions:
    def test_no_session_level(self, tree) -> None:
        root = tree(
            T1W, "sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/anat/sub-01_R1map.nii.gz", "sub-01/anat/sub-01_T2w.nii"
        )
        session = only(find_sessions(root))
        assert (session.name, session.subject, session.session) == ("sub-01", "01", None)
        assert list(session.images) == ["T1w", "FLAIR", "R1map", "T2w"]
        assert (session.notes, session.problem) == ((), None)
        image = session.images["T1w"]
        assert image.path == root / T1W
        assert image.uri == f"bids:raw:{T1W}"
        assert (image.suffix, image.entities, image.metadata) == ("T1w", {}, {})

    def test_several_sessions_subjects_and_both_layouts(self, tree) -> None:
        mixed = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"
        root = tree(*TWO_SESSIONS, *mixed, "sub-03/anat/sub-03_T1w.nii.gz")
        found = [session.name for session in find_sessions(root)]
        assert found == ["sub-01_ses-1", "sub-01_ses-2", "sub-02", "sub-02_ses-1", "sub-03"]

    def test_an_empty_anat_beside_sessions_is_no_session(self, tree) -> None:
        root = tree(*TWO_SESSIONS, "sub-01/anat/notes.txt")
        assert [session.name for session in find_sessions(root)] == ["sub-01_ses-1", "sub-01_ses-2"]

    @pytest.mark.parametrize("participants", [("01",), ("sub-01",), ("sub-01", "01")])
    @pytest.mark.parametrize("sessions", [("2",), ("ses-2",)])
    def test_labels_with_and_without_prefix(self, tree, participants: tuple, sessions: tuple) -> None:
        root = tree(*TWO_SESSIONS, "sub-02/ses-2/anat/sub-02_ses-2_T1w.nii.gz")
        assert only(find_sessions(root, participants, sessions)).name == "sub-01_ses-2"

    def test_asked_labels_that_are_not_there(self, tree) -> None:
        root = tree(*TWO_SESSIONS)
        with pytest.raises(NoInputError, match=r"no participant 3, 4\. It has: 01\."):
            find_sessions(root, ["sub-4", "3", "01"])
        with pytest.raises(NoInputError, match=r"no session 3\. It has: 1, 2\."):
            find_sessions(root, session_labels=["ses-3"])

    def test_many_labels_are_cut_in_the_message(self, tree) -> None:
        root = tree(*(f"sub-{number:03d}/anat/sub-{number:03d}_T1w.nii.gz" for number in range(25)))
        with pytest.raises(NoInputError, match="018, 019 and 5 more"):
            find_sessions(root, ["x"])

    def test_a_participant_without_the_asked_session_is_told(self, tree, caplog) -> None:
        root = tree(*TWO_SESSIONS, "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz")
        with caplog.at_level(logging.WARNING):
            assert only(find_sessions(root, session_labels=["2"])).name == "sub-01_ses-2"
        assert "no session of those asked for: sub-02" in caplog.text

    def test_session_labels_leave_out_what_has_no_session(self, tree) -> None:
        with pytest.raises(NoInputError, match="no session 1"):
            find_sessions(tree(T1W), session_labels=["1"])

    def test_a_dataset_elsewhere_empty_or_no_folder(self, tree, tmp_path: Path) -> None:
        with pytest.raises(NoInputError, match="is not there"):
            find_sessions(tmp_path / "nowhere")
        with pytest.raises(NoInputError, match=r"no sub-\* folder"):
            find_sessions(tree("participants.tsv", "sub-01"))
        with pytest.raises(NoInputError, match="is not a folder"):
            find_sessions(tmp_path / "raw" / "participants.tsv")

    def test_a_relative_path(self, tree, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tree(T1W)
        monkeypatch.chdir(root)
        assert only(find_sessions(".")).images["T1w"].path == root / T1W

    def test_what_is_not_raw_is_not_read(self, tree) -> None:
        root = tree(
            T1W,
            "derivatives/thalbids/sub-01/anat/sub-01_space-T1w_desc-preproc_FLAIR.nii.gz",
            "derivatives/sub-09/anat/sub-09_T1w.nii.gz",
            "sourcedata/sub-02/anat/sub-02_T1w.nii.gz",
            "sub-01/anat/old/sub-01_FLAIR.nii.gz",
            "sub-01/anat/sub-01_mod-FLAIR_defacemask.nii.gz",
            "sub-1_b/anat/sub-1_b_T1w.nii.gz",
        )
        session = only(find_sessions(root))
        assert list(session.images) == ["T1w"]

    def test_the_database_gives_the_same_sessions(self, tree, tmp_path: Path) -> None:
        root = tree(*TWO_SESSIONS, "sub-01/ses-1/anat/sub-01_ses-1_T1w.json", **{"T1w.json": {"x": 1}})
        (root / "sub-01/ses-1/anat/sub-01_ses-1_T1w.json").write_text("{}")
        for _ in range(2):
            assert find_sessions(root, database_dir=tmp_path / "db") == find_sessions(root)

    def test_an_outdated_database_is_hinted_at(self, tree, tmp_path: Path) -> None:
        root = tree(*TWO_SESSIONS)
        find_sessions(root, database_dir=tmp_path / "db")
        (root / "sub-02/anat").mkdir(parents=True)
        (root / "sub-02/anat/sub-02_T1w.nii.gz").touch()
        session = only(find_sessions(root, ["02"], database_dir=tmp_path / "db"))
        assert "may be out of date" in str(session.problem)


class TestChoice:
    @pytest.mark.parametrize(
        "ranked",
        [
            ("sub-01_acq-z_run-9_T1w", "sub-01_ce-gd_T1w"),
            ("sub-01_acq-z_T1w", "sub-01_rec-norm_T1w", "sub-01_rec-defaced_T1w"),
            ("sub-01_rec-norm_T1w", "sub-01_rec-a_T1w", "sub-01_rec-b_T1w"),
            ("sub-01_T1w", "sub-01_acq-a_T1w", "sub-01_acq-b_T1w", "sub-01_task-rest_acq-a_T1w"),
            ("sub-01_run-1_T1w", "sub-01_run-2_T1w", "sub-01_run-10_T1w", "sub-01_acq-a_T1w"),
            ("sub-01_T1w", "sub-01_run-1_T1w"),
            ("sub-01_acq-a_run-2_T1w", "sub-01_acq-b_run-1_T1w"),
        ],
    )
    def test_the_rule(self, tree, ranked: tuple[str, ...]) -> None:
        for first in range(len(ranked)):
            root = tree(*(f"sub-01/anat/{name}.nii.gz" for name in reversed(ranked[first:])), root=f"raw{first}")
            session = only(find_sessions(root))
            assert chosen(session) == f"{ranked[first]}.nii.gz"
            if first < len(ranked) - 1:
                (note,) = (note for note in session.notes if note.startswith("T1w"))
                assert note.startswith(f"T1w: {len(ranked) - first} images; {ranked[first]}.nii.gz is used")
                assert all(f"{name}.nii.gz" in note for name in ranked[first:])

    def test_three_dimensions_before_two(self, tree) -> None:
        root = tree(
            *(f"sub-01/anat/sub-01_acq-{name}_T1w.nii.gz" for name in ("a", "b", "c")),
            **{"acq-a_T1w.json": {"MRAcquisitionType": "2D"}, "acq-c_T1w.json": {"MRAcquisitionType": "3D"}},
        )
        assert chosen(only(find_sessions(root))) == "sub-01_acq-c_T1w.nii.gz"
        (root / "acq-c_T1w.json").unlink()
        assert chosen(only(find_sessions(root))) == "sub-01_acq-b_T1w.nii.gz"

    def test_compressed_before_plain(self, tree) -> None:
        session = only(find_sessions(tree(T1W, T1W.removesuffix(".gz"))))
        assert chosen(session) == "sub-01_T1w.nii.gz"
        assert "2 images" in session.notes[0]

    def test_plain_nifti_is_read(self, tree) -> None:
        assert chosen(only(find_sessions(tree("sub-01/anat/sub-01_run-01_T1w.nii")))) == "sub-01_run-01_T1w.nii"

    def test_entities_are_kept_as_they_are_spelled(self, tree) -> None:
        image = only(find_sessions(tree("sub-01/anat/sub-01_acq-A_run-01_T1w.nii.gz"))).images["T1w"]
        assert image.entities == {"acq": "A", "run": "01"}

    @pytest.mark.parametrize(
        "piece", ["echo-1", "echo-1_part-mag", "part-phase", "chunk-1", "inv-2", "desc-preproc", "space-x"]
    )
    def test_pieces_and_derivatives_are_left_out(self, tree, piece: str) -> None:
        name = f"sub-01_{piece}_T1w.nii.gz"
        session = only(find_sessions(tree(f"sub-01/anat/{name}")))
        assert session.images == {}
        assert name in str(session.problem)
        flair = name.replace("T1w", "FLAIR")
        session = only(find_sessions(tree(T1W, f"sub-01/anat/{flair}", root="other")))
        assert list(session.images) == ["T1w"]
        assert session.notes[0] == f"FLAIR: left out by their entities or the filter: {flair}."

    def test_r1map_before_t1map(self, tree) -> None:
        root = tree(T1W, "sub-01/anat/sub-01_T1map.nii.gz", "sub-01/anat/sub-01_acq-x_R1map.nii.gz")
        assert chosen(only(find_sessions(root)), "R1map") == "sub-01_acq-x_R1map.nii.gz"
        (root / "sub-01/anat/sub-01_acq-x_R1map.nii.gz").unlink()
        session = only(find_sessions(root))
        assert session.images["R1map"].suffix == "T1map"
        assert "R1map: none found, sub-01_T1map.nii.gz is used." in session.notes

    def test_t2w_is_no_flair(self, tree) -> None:
        session = only(find_sessions(tree(T1W, "sub-01/anat/sub-01_acq-flair_T2w.nii.gz")))
        assert list(session.images) == ["T1w", "T2w"]
        assert session.notes == ("FLAIR: none found.", "R1map: none found.")


class TestFilter:
    NAMES = (
        "sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_acq-b_run-02_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_part-mag_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_R1map.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T1map.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
    )

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"acquisition": "b"}, "sub-01_ses-1_acq-b_run-02_T1w.nii.gz"),
            ({"run": 2}, "sub-01_ses-1_acq-b_run-02_T1w.nii.gz"),
            ({"acq": ["b", "c"]}, "sub-01_ses-1_acq-b_run-02_T1w.nii.gz"),
            ({"part": "mag"}, "sub-01_ses-1_part-mag_T1w.nii.gz"),
        ],
    )
    def test_it_chooses_among_several(self, tree, wanted: dict, expected: str) -> None:
        session = find_sessions(tree(*self.NAMES), session_labels=["1"], filters={"t1w": wanted})[0]
        assert chosen(session) == expected
        assert not any(note.startswith("T1w") for note in session.notes)

    def test_the_t1w_filter_chooses_sessions(self, tree) -> None:
        root = tree(*self.NAMES)
        assert only(find_sessions(root, filters={"t1w": {"session": "ses-2"}})).name == "sub-01_ses-2"
        with pytest.raises(NoInputError, match="sessions: 1, 2"):
            find_sessions(root, filters={"t1w": {"session": "3"}})
        with pytest.raises(NoInputError):
            find_sessions(root, filters={"t1w": {"subject": "02"}})

    def test_what_it_leaves_out_is_told(self, tree) -> None:
        filters = {"t1w": {"acquisition": "x"}, "r1map": {"acquisition": "x"}}
        session = find_sessions(tree(*self.NAMES), filters=filters)[0]
        assert session.images["R1map"].suffix == "T1map"
        assert "sub-01_ses-1_acq-a_run-1_T1w.nii.gz" in str(session.problem)
        assert "R1map: left out by their entities or the filter: sub-01_ses-1_R1map.nii.gz." in session.notes

    def test_a_wrong_filter_is_refused(self, tree) -> None:
        with pytest.raises(UsageError, match="unknown key"):
            find_sessions(tree(*self.NAMES), filters={"bold": {}})


class TestWithoutT1w:
    """What a session without a T1w is measured on."""

    @pytest.mark.parametrize(
        ("files", "reference"),
        [
            (("T1w", "UNIT1", "T2w", "FLAIR"), "T1w"),
            (("UNIT1", "T2w", "FLAIR"), "UNIT1"),
            (("T2w", "FLAIR", "R1map"), "T2w"),
            (("FLAIR",), "FLAIR"),
            (("acq-se_T2w", "FLAIR"), "T2w"),
        ],
    )
    def test_the_first_of_t1w_unit1_t2w_flair(self, tree, files: tuple[str, ...], reference: str) -> None:
        session = only(find_sessions(tree(*(f"sub-01/anat/sub-01_{name}.nii.gz" for name in files))))
        assert (session.problem, session.reference) == (None, reference)
        told = [note for note in session.notes if note.startswith("no T1w: measured on ")]
        assert len(told) == (reference != "T1w")
        assert ("UNIT1" in session.images) == (reference == "UNIT1")  # beside a T1w it is a raw image only

    def test_a_broken_one_gives_way_to_the_next(self, tree) -> None:
        root = tree("sub-01/anat/sub-01_T2w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
        (root / "sub-01/anat/sub-01_T2w.json").write_text("{")
        session = only(find_sessions(root))
        assert (session.problem, session.reference) == (None, "FLAIR")
        assert session.images["T2w"].problem

    def test_a_t1w_that_a_filter_leaves_out_is_not_replaced(self, tree) -> None:
        root = tree("sub-01/anat/sub-01_acq-a_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
        session = only(find_sessions(root, filters={"t1w": {"acquisition": "b"}}))
        assert str(session.problem).startswith("no usable T1w")

    def test_a_map_alone_is_nothing_to_measure_on(self, tree) -> None:
        assert str(only(find_sessions(tree("sub-01/anat/sub-01_R1map.nii.gz"))).problem).startswith("no T1w")


class TestBadInput:
    def test_a_session_without_t1w_does_not_end_the_others(self, tree) -> None:
        root = tree(
            T1W,
            "sub-02/anat/sub-02_FLAIR.nii.gz",
            "sub-02/anat/sub-02_FLAIR.json",
            "sub-03/func/sub-03_task-rest_bold.nii.gz",
            "sub-04/anat/sub-04_t1w.nii.gz",
            "sub-05/anat/sub-06_T1w.nii.gz",
            "sub-06/ses-1/anat/sub-06_T1w.nii.gz",
            "sub-07/anat/sub-07_ses-1_T1w.nii.gz",
            "sub-08/anat/sub-08_T1w.nii.gz/inside.txt",
        )
        good, *bad = find_sessions(root)
        assert good.problem is None
        assert all("no T1w" in str(session.problem) for session in bad)
        assert [session.name for session in bad] == ["sub-02", "sub-04", "sub-05", "sub-06_ses-1", "sub-07", "sub-08"]
        assert "sub-08/anat/sub-08_T1w.nii.gz is a folder" in str(bad[-1].problem)
        assert str(bad[0].problem).startswith("no T1w, and FLAIR not used: sub-02/anat/sub-02_FLAIR.json: the JSON")
        assert "named sub-04_[...]T1w.nii.gz in sub-04/anat, which holds sub-04_t1w.nii.gz" in str(bad[1].problem)

    def test_no_absolute_path_in_what_goes_into_reports(self, tree) -> None:
        root = tree(T1W, "sub-02/anat/sub-02_FLAIR.nii.gz", **{"sub-01/anat/sub-01_T1w.json": "{"})
        for session in find_sessions(root):
            assert str(root) not in f"{session.problem} {session.notes}"

    def test_a_damaged_sidecar_of_the_t1w_ends_its_session_only(self, tree) -> None:
        root = tree(T1W, "sub-02/anat/sub-02_T1w.nii.gz", **{"sub-01/anat/sub-01_T1w.json": '{"a": 1'})
        bad, good = find_sessions(root)
        assert str(bad.problem).startswith(
            "T1w not used: sub-01/anat/sub-01_T1w.json: not valid JSON at line 1, column"
        )
        assert good.problem is None

    def test_a_damaged_sidecar_of_another_image_leaves_that_image_out(self, tree) -> None:
        root = tree(T1W, "sub-01/anat/sub-01_FLAIR.nii.gz", **{"FLAIR.json": b"\xff\xfe"})
        session = only(find_sessions(root))
        assert session.problem is None
        assert list(session.images) == ["T1w", "FLAIR"]
        assert "FLAIR.json" in session.images["FLAIR"].problem  # the pipeline refuses it and goes on
        assert not session.images["T1w"].problem
        assert session.notes[0].startswith("FLAIR not used: FLAIR.json: not UTF-8")

    def test_broken_links(self, tree) -> None:
        root = tree("sub-02/anat/sub-02_T1w.nii.gz", "sub-01/anat/sub-01_acq-second_T1w.nii.gz")
        for name in ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_FLAIR.nii.gz"):
            (root / name).symlink_to("../../.git/annex/objects/x")
        first, second = find_sessions(root)
        assert str(first.problem).startswith("T1w not used: sub-01/anat/sub-01_T1w.nii.gz: only a link is here")
        assert "datalad get" in second.images["FLAIR"].problem
        assert "datalad get" in second.notes[0]

    def test_linked_folders_and_files_are_followed(self, tree, tmp_path: Path) -> None:
        store = tree("anat/sub-01_T1w.nii.gz", root="store")
        root = tree(root="raw")
        (root / "sub-01").symlink_to(store)
        assert only(find_sessions(root)).images["T1w"].path == root / T1W

    def test_metadata_with_byte_order_mark(self, tree) -> None:
        root = tree(T1W, **{"sub-01/anat/sub-01_T1w.json": b'\xef\xbb\xbf{"EchoTime": 0.002}\r\n'})
        assert only(find_sessions(root)).images["T1w"].metadata == {"EchoTime": 0.002}

    def test_an_unreadable_folder_ends_its_session_only(self, tree, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tree("sub-02/anat/sub-02_T1w.nii.gz", "sub-03/ses-1/anat/sub-03_ses-1_T1w.nii.gz")
        (root / "sub-01" / "anat").mkdir(parents=True)
        closed, real_list, real_scan = {root / "sub-01/anat", root / "sub-03"}, os.listdir, os.scandir

        def refuse(real):
            def call(folder="."):
                if Path(os.fsdecode(folder)) in closed:
                    raise PermissionError(13, "Permission denied")
                return real(folder)

            return call

        monkeypatch.setattr(os, "listdir", refuse(real_list))  # the tests may run as root, whom no permission stops
        monkeypatch.setattr(os, "scandir", refuse(real_scan))
        first, second, third = find_sessions(root)
        assert "sub-01/anat: the folder cannot be read (Permission denied)" in str(first.problem)
        assert second.problem is None
        assert third.name == "sub-03"
        assert third.problem

    def test_an_unreadable_dataset(self, tree, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tree(T1W)

        def refuse(folder):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(NoInputError, match="Permission denied"):
            find_sessions(root)


class TestDescription:
    def test_missing_is_a_note(self, tree, caplog) -> None:
        root = tree(T1W)
        (root / "dataset_description.json").unlink()
        with caplog.at_level(logging.WARNING):
            session = only(find_sessions(root))
        assert session.problem is None
        assert "dataset_description.json is missing" in session.notes[0]
        assert caplog.text.count("dataset_description.json is missing") == 1

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b'{\n"Name": \n}', "line 3, column 1"),
            (b"", "empty"),
            (b"[]", "does not hold an object"),
            (b'{"DatasetType": "derivative", "GeneratedBy": ["x"]}', "GeneratedBy is not a list of objects"),
            (b'{"DatasetType": "derivative", "GeneratedBy": null}', "GeneratedBy is not a list of objects"),
        ],
    )
    def test_damaged_is_an_error(self, tree, content: bytes, problem: str) -> None:
        root = tree(T1W)
        (root / "dataset_description.json").write_bytes(content)
        with pytest.raises(MetadataError, match=problem) as caught:
            find_sessions(root)
        assert caught.value.path == root / "dataset_description.json"

    def test_damaged_is_a_note_without_validation(self, tree) -> None:
        root = tree(T1W, description="{")
        session = only(find_sessions(root, validate=False))
        assert chosen(session) == "sub-01_T1w.nii.gz"
        assert session.notes[0].startswith("dataset_description.json is not used: not valid JSON at line 1")

    def test_a_broken_link_is_an_error(self, tree) -> None:
        root = tree(T1W)
        (root / "dataset_description.json").unlink()
        (root / "dataset_description.json").symlink_to("nowhere")
        with pytest.raises(MetadataError, match="datalad get"):
            find_sessions(root)

    @pytest.mark.parametrize(
        "content", [{"DatasetType": "derivative"}, {"DatasetType": "derivative", "GeneratedBy": [{}]}]
    )
    def test_a_derivative_is_read_with_a_note(self, tree, content: dict) -> None:
        root = tree(T1W, description=content)
        session = only(find_sessions(root))
        assert "derivative" in session.notes[0]
        assert chosen(session) == "sub-01_T1w.nii.gz"
        assert raw_description(root)[0] == content

    def test_nothing_to_say(self, tree) -> None:
        root = tree(T1W, description={"Name": "x"})
        assert raw_description(root) == ({"Name": "x"}, ())
