from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalbids.bids import LABEL_TABLE, LABEL_TABLE_COLUMNS
from thalbids.bids.dataset.sidecars import parse
from thalbids.bids.results import names, outputs
from thalbids.errors import MetadataError, OutputError, UsageError
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS, InputImage, Session

THALBIDS = {"Name": "thalbids", "Version": "1.2.3", "CodeURL": "https://example.org/thalbids"}
LABELS = st.text("abcXYZ0129", min_size=1, max_size=5)


def session(subject: str = "01", label: str | None = None, **entities: str) -> Session:
    return Session(subject, label, {"T1w": InputImage(Path("x"), "bids:raw:x", "T1w", entities)})


class TestDerivative:
    @pytest.mark.parametrize(
        ("given", "suffix", "entities", "expected"),
        [
            (session(), "T1w", {"desc": "reoriented"}, "sub-01/anat/sub-01_desc-reoriented_T1w.nii.gz"),
            (
                session("01", "2", run="1", acq="a"),
                "mask",
                {"desc": "synthalT1w", "label": "thalamus", "space": "T1w"},
                "sub-01/ses-2/anat/sub-01_ses-2_acq-a_run-1_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz",
            ),
            (
                session(),
                "dseg",
                {"space": "T1w", "desc": "T1w", "seg": "dbsegment"},
                "sub-01/anat/sub-01_space-T1w_seg-dbsegment_desc-T1w_dseg.nii.gz",
            ),
            (session(), "R1map", {}, "sub-01/anat/sub-01_R1map.nii.gz"),
        ],
    )
    def test_names(self, given: Session, suffix: str, entities: dict, expected: str) -> None:
        assert outputs.derivative(given, suffix, **entities) == expected

    def test_transforms_and_other_extensions(self) -> None:
        found = outputs.derivative(session("01", "2"), "xfm", ".txt", from_="FLAIR", to="T1w", mode="image")
        assert found == "sub-01/ses-2/anat/sub-01_ses-2_from-FLAIR_to-T1w_mode-image_xfm.txt"
        found = outputs.derivative(session(), "morph", ".tsv", desc="thalamus")
        assert found == "sub-01/anat/sub-01_desc-thalamus_morph.tsv"

    @given(
        LABELS,
        st.none() | LABELS,
        st.dictionaries(st.sampled_from(["task", "acq", "ce", "rec", "run"]), LABELS),
        LABELS,
    )
    def test_what_is_written_can_be_read(self, subject: str, label: str | None, entities: dict, desc: str) -> None:
        relative = outputs.derivative(
            session(subject, label, **entities), "mask", space="T1w", label="thalamus", desc=desc
        )
        file = parse(Path(relative))
        assert file is not None
        own = {"sub": subject, **({"ses": label} if label else {})}
        assert file.entities == {**own, **entities, "space": "T1w", "label": "thalamus", "desc": desc}
        assert [key for key in outputs.ORDER if key in file.entities] == list(file.entities)

    def test_a_session_without_t1w_has_names_too(self) -> None:
        assert (
            outputs.derivative(Session("01", None, {}), "qc", ".json", desc="thalamus")
            == "sub-01/anat/sub-01_desc-thalamus_qc.json"
        )

    @pytest.mark.parametrize(
        "entities",
        [{"desc": "a-b"}, {"desc": "a+b"}, {"desc": ""}, {"label": "a_b"}, {"atlas": "x"}, {"space": "T1w/.."}],
    )
    def test_impossible_entities_are_mistakes(self, entities: dict) -> None:
        with pytest.raises(ValueError, match="no BIDS entity"):
            outputs.derivative(session(), "mask", **entities)

    def test_the_order_is_that_of_bids(self) -> None:
        schema = pytest.importorskip("bidsschematools.schema").load_schema()
        official = [schema.objects.entities[entity].name for entity in schema.rules.entities]
        proposed = ("from", "to", "mode", "model", "param")  # transforms (BEP014) and diffusion maps (BEP016)
        ours = [key for key in outputs.ORDER if key not in proposed]
        assert ours == sorted(ours, key=official.index)


class TestSidecarAndUri:
    @pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".tsv", ".txt", ".h5", ".json"])
    def test_sidecar(self, extension: str) -> None:
        assert outputs.sidecar(PurePosixPath(f"sub-01/sub-01_T1w{extension}")) == PurePosixPath(
            "sub-01/sub-01_T1w.json"
        )
        assert outputs.sidecar(Path(f"/out/sub-01_T1w{extension}")) == Path("/out/sub-01_T1w.json")

    def test_an_unknown_extension_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="extension"):
            outputs.sidecar(Path("x.mgz"))

    def test_uri(self) -> None:
        assert outputs.uri(PurePosixPath("sub-01/anat/x.nii.gz")) == "bids::sub-01/anat/x.nii.gz"
        assert outputs.uri("sub-a+b/x.json") == "bids::sub-a+b/x.json"
        for text in ("/out/x.json", "../x.json"):
            with pytest.raises(ValueError, match="not relative"):
                outputs.uri(text)


class TestOpenDataset:
    def test_what_is_written(self, tree) -> None:
        raw = tree(description={"Name": "raw", "License": "CC0", "DatasetDOI": "doi:10.1/x", "Authors": ["A"]})
        root = outputs.open_dataset(raw / "derivatives" / "thalbids", raw, [THALBIDS, {"Name": "ANTsPy"}])
        assert root == raw / "derivatives" / "thalbids"
        assert sorted(path.name for path in root.iterdir()) == [
            ".bidsignore",
            "dataset_description.json",
            "descriptions.json",
            "descriptions.tsv",
            "itksnap_labels.txt",
        ]
        assert outputs.read_json(root / "dataset_description.json") == {
            "Name": "thalbids: thalamus segmentation and volumes",
            "BIDSVersion": "1.11.1",
            "DatasetType": "derivative",
            "GeneratedBy": [THALBIDS, {"Name": "ANTsPy"}],
            "SourceDatasets": [{"URL": "../..", "DOI": "doi:10.1/x"}],
            "DatasetLinks": {"raw": "../.."},
            "License": "CC0",
        }
        table = outputs.read_table(root / "descriptions.tsv")
        assert {row["desc_id"]: row["description"] for row in table} == {
            f"desc-{key}": text for key, text in names.register().items()
        }
        assert set(outputs.read_json(root / "descriptions.json")) == set(table[0])
        assert (root / ".bidsignore").read_text().splitlines() == list(outputs.IGNORED)

    @pytest.mark.parametrize("description", [{"Name": "raw"}, {"License": ""}, {"License": 3}])
    def test_a_licence_is_not_made_up(self, tree, description: dict) -> None:
        raw = tree(description=description)
        root = outputs.open_dataset(raw / "derivatives" / "thalbids", raw, [THALBIDS])
        assert "License" not in outputs.read_json(root / "dataset_description.json")

    @pytest.mark.parametrize(
        ("raw", "out", "link"),
        [
            ("/data", "/out", "../data"),
            ("/data/raw", "/data/derivatives/thalbids", "../../raw"),
            ("/home/anna/study/raw", "/home/anna/results/thalbids", "../../study/raw"),
            ("/home/anna/study", "/scratch/anna/thalbids", "sourcedata/raw"),
            ("/home/anna/study", "/home/berta/thalbids", "sourcedata/raw"),
            ("/data/my study", "/data/out", "../my%20study"),
            ("/out/sourcedata/raw", "/out", "sourcedata/raw"),
        ],
    )
    def test_the_link_to_the_raw_data_shows_no_home(self, raw: str, out: str, link: str) -> None:
        assert outputs._link(Path(out), Path(raw)) == link

    def test_a_second_run_changes_nothing(self, tree) -> None:
        raw = tree()
        root = outputs.open_dataset(raw / "out", raw, [THALBIDS])
        before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
        outputs.open_dataset(raw / "out", raw, [THALBIDS])
        assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == before

    def test_tools_of_earlier_runs_stay(self, tree) -> None:
        raw = tree()
        outputs.open_dataset(
            raw / "out", raw, [THALBIDS, {"Name": "FSL", "Version": "6"}, {"Name": "ANTsPy", "Version": "1"}]
        )
        newer = {**THALBIDS, "Version": "2.0.0"}
        root = outputs.open_dataset(raw / "out", raw, [newer, {"Name": "ANTsPy", "Version": "2"}])
        expected = [newer, {"Name": "ANTsPy", "Version": "2"}, {"Name": "FSL", "Version": "6"}]
        assert outputs.read_json(root / "dataset_description.json")["GeneratedBy"] == expected

    def test_a_raw_dataset_without_description(self, tree) -> None:
        raw = tree()
        (raw / "dataset_description.json").unlink()
        root = outputs.open_dataset(raw / "out", raw, [THALBIDS])
        assert outputs.read_json(root / "dataset_description.json")["DatasetType"] == "derivative"

    def test_a_damaged_raw_description(self, tree) -> None:
        raw = tree(description="{")
        with pytest.raises(MetadataError):
            outputs.open_dataset(raw / "out", raw, [THALBIDS])
        assert not (raw / "out").exists()
        assert outputs.open_dataset(raw / "out", raw, [THALBIDS], validate=False).is_dir()

    def test_methods_added_by_others_are_registered(self, tree) -> None:
        raw = tree()
        root = outputs.open_dataset(raw / "out", raw, [THALBIDS], families=["ourNet", "synthal"])
        rows = [row["desc_id"] for row in outputs.read_table(root / "descriptions.tsv")]
        assert "desc-ourNetT1w" in rows
        assert len(set(rows)) == len(rows)

    @pytest.mark.parametrize("place", [".", "link", "sub-01", "sub-01/anat/out"])
    def test_raw_data_are_protected(self, tree, place: str) -> None:
        raw = tree("sub-01/anat/sub-01_T1w.nii.gz")
        (raw / "link").symlink_to(".")
        before = sorted(raw.rglob("*"))
        with pytest.raises(UsageError, match="derivatives/thalbids"):
            outputs.open_dataset(raw / place, raw, [THALBIDS])
        assert sorted(raw.rglob("*")) == before

    @pytest.mark.parametrize(
        "description",
        [
            {"Name": "another raw dataset"},
            {"Name": "fMRIPrep", "GeneratedBy": [{"Name": "fMRIPrep"}]},
            {"Name": "built on ours", "GeneratedBy": [{"Name": "other"}, {"Name": "thalbids"}]},
            {"Name": "odd", "GeneratedBy": "thalbids"},
            {"Name": "odd", "GeneratedBy": ["thalbids"]},
            {"GeneratedBy": []},
        ],
    )
    def test_other_datasets_are_protected(self, tree, description: dict) -> None:
        other = tree(root="other", description=description)
        with pytest.raises(UsageError, match="another dataset") as caught:
            outputs.open_dataset(other, tree(), [THALBIDS])
        assert "another output folder" in caught.value.mend
        assert outputs.read_json(other / "dataset_description.json") == description

    def test_a_damaged_description_in_the_output(self, tree) -> None:
        other = tree(root="other", description="{")
        with pytest.raises(UsageError, match=r"unusable.*line 1"):
            outputs.open_dataset(other, tree(), [THALBIDS])

    def test_results_of_ours_are_no_input(self, tree, tmp_path: Path) -> None:
        raw = tree("sub-01/anat/sub-01_T1w.nii.gz", root="the raw data")
        out = outputs.open_dataset(tmp_path / "out", raw, [THALBIDS])
        outputs.check_output(out, raw)
        for place in (tmp_path / "again", out):
            with pytest.raises(UsageError, match="BIDS_DIR is an output folder of thalbids") as caught:
                outputs.check_output(place, out)
            assert f"the dataset that holds the scans ({raw});" in caught.value.mend
        raw.rename(tmp_path / "elsewhere")
        with pytest.raises(UsageError) as caught:
            outputs.check_output(tmp_path / "again", out)
        assert "holds the scans; the output folder" in caught.value.mend

    @pytest.mark.parametrize("root", ["/", "//", "/../"])
    def test_the_root_of_the_file_system(self, tree, root: str) -> None:
        with pytest.raises(UsageError, match="is the root of the file system"):
            outputs.check_output(root, tree())

    def test_a_file_in_place_of_the_folder(self, tree, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="is a file"):
            outputs.open_dataset(tmp_path / "file", tree(), [THALBIDS])
        with pytest.raises(OutputError):
            outputs.open_dataset(tmp_path / "file" / "out", tree(), [THALBIDS])

    def test_thalbids_comes_first(self, tree, tmp_path: Path) -> None:
        for tools in ([], [{"Name": "FSL"}, THALBIDS]):
            with pytest.raises(ValueError, match="thalbids"):
                outputs.open_dataset(tmp_path / "out", tree(), tools)

    def test_no_absolute_path_or_user(self, tree, tmp_path: Path) -> None:
        root = outputs.open_dataset(tmp_path / "out", tree(), [THALBIDS])
        for path in root.iterdir():
            assert str(tmp_path) not in path.read_text()
            assert os.sep + "root" not in path.read_text()


def test_label_table() -> None:
    assert [row["index"] for row in LABEL_TABLE] == [LEFT_THALAMUS, RIGHT_THALAMUS]
    assert all(tuple(row) == LABEL_TABLE_COLUMNS for row in LABEL_TABLE)


def test_everything_public_is_json(tmp_path: Path) -> None:
    outputs.write_json(tmp_path / "x.json", {"labels": LABEL_TABLE})
    assert json.loads((tmp_path / "x.json").read_text())["labels"][0]["index"] == LEFT_THALAMUS
