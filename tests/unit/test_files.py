from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalbids import files
from thalbids.bids.dataset.sidecars import check_content
from thalbids.errors import MetadataError, OutputError

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.dictionaries(TEXTS, st.recursive(TEXTS | NUMBERS | st.booleans() | st.none(), st.lists, max_leaves=5))
own_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


class TestJson:
    @own_folder
    @given(content=JSON)
    def test_what_is_written_is_read(self, tmp_path: Path, content: dict) -> None:
        files.write_json(tmp_path / "x.json", content)
        assert files.read_json(tmp_path / "x.json") == content

    def test_byte_order_mark_and_crlf_are_tolerated(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{\r\n"Manufacturer": "Siemens"\r\n}\r\n')
        assert files.read_json(tmp_path / "x.json") == {"Manufacturer": "Siemens"}

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "empty"),
            (b" \r\n", "empty"),
            (b"[1, 2]", "does not hold an object"),
            (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
            (b"\xff\xfe{}", "not UTF-8"),
            (b'{"name": "Z\xfcrich"}', "byte 11"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"a": ' + b"9" * 10_000 + b"}", "a number is too long"),
        ],
    )
    def test_a_damaged_file_is_named(self, tmp_path: Path, content: bytes, problem: str) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(content)
        with pytest.raises(MetadataError, match=problem) as caught:
            files.read_json(path)
        assert caught.value.path == path
        assert caught.value.mend

    def test_what_is_no_file_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.json")
        (tmp_path / "zeros.json").symlink_to("/dev/zero")
        (tmp_path / "folder.json").mkdir()
        for name in ("pipe", "zeros", "folder"):
            for read in (files.read_json, files.read_table, check_content):
                with pytest.raises(MetadataError, match="not a file but a folder, device or pipe"):
                    read(tmp_path / f"{name}.json")

    def test_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "x.json").open("wb") as file:
            file.truncate(10**12)  # takes no space
        for read in (files.read_json, files.read_table):
            with pytest.raises(MetadataError, match="larger than 134 MB"):
                read(tmp_path / "x.json")

    def test_half_a_character_does_not_end_a_run(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text('{"a": "\\ud800 \\u0000"}')
        files.write_json(tmp_path / "y.json", files.read_json(tmp_path / "x.json"))
        assert files.read_json(tmp_path / "y.json") == {"a": "? \0"}

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(MetadataError, match="not there"):
            files.read_json(tmp_path / "x.json")
        with pytest.raises(MetadataError, match="not a file but a folder"):
            files.read_json(tmp_path)

    def test_numpy_and_numbers_that_json_lacks(self, tmp_path: Path) -> None:
        content = {
            "float32": np.float32(0.5),
            "int": np.int64(3),
            "bool": np.bool_(True),
            "array": np.array([[1.0, np.nan], [np.inf, 2.0]]),
            "tuple": (1, "a"),
            "set": {"b", "a"},
            "nan": float("nan"),
        }
        files.write_json(tmp_path / "x.json", content)
        assert json.loads((tmp_path / "x.json").read_text()) == {
            "float32": 0.5,
            "int": 3,
            "bool": True,
            "array": [[1.0, None], [None, 2.0]],
            "tuple": [1, "a"],
            "set": ["a", "b"],
            "nan": None,
        }

    def test_a_path_is_refused_as_it_would_show_the_machine(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="cannot be written"):
            files.write_json(tmp_path / "x.json", {"path": tmp_path})
        assert list(tmp_path.iterdir()) == []

    def test_order_of_keys(self, tmp_path: Path) -> None:
        files.write_json(tmp_path / "x.json", {"b": 1, "a": 2})
        assert list(files.read_json(tmp_path / "x.json")) == ["a", "b"]
        files.write_json(tmp_path / "x.json", {"b": 1, "a": 2}, sort_keys=False)
        assert list(files.read_json(tmp_path / "x.json")) == ["b", "a"]


class TestTable:
    @own_folder
    @given(values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
    def test_full_precision(self, tmp_path: Path, values: list[float]) -> None:
        files.write_table(tmp_path / "x.tsv", [{"value": value} for value in values], ["value"])
        assert [float(row["value"]) for row in files.read_table(tmp_path / "x.tsv")] == values

    @own_folder
    @given(text=TEXTS)
    def test_any_text_stays_one_cell(self, tmp_path: Path, text: str) -> None:
        files.write_table(tmp_path / "x.tsv", [{"a": 1, "text": text, "b": 2}], ["a", "text", "b"])
        (row,) = files.read_table(tmp_path / "x.tsv")
        assert (row["a"], row["b"]) == ("1", "2")
        assert row["text"] == (" ".join(text.split()) if text.split() not in ([], ["n/a"]) else None)

    def test_missing_values_and_types(self, tmp_path: Path) -> None:
        row = {
            "none": None,
            "nan": np.nan,
            "empty": "",
            "bool": np.bool_(True),
            "int": np.int32(7),
            "single": np.float32(0.1),
        }
        columns = [*row, "absent"]
        files.write_table(tmp_path / "x.tsv", [row], columns)
        expected = "none\tnan\tempty\tbool\tint\tsingle\tabsent\nn/a\tn/a\tn/a\ttrue\t7\t0.10000000149011612\tn/a\n"
        assert (tmp_path / "x.tsv").read_text() == expected
        assert files.read_table(tmp_path / "x.tsv")[0]["nan"] is None

    def test_a_key_without_column_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="volume"):
            files.write_table(tmp_path / "x.tsv", [{"volume": 1}], ["method"])
        with pytest.raises(TypeError, match="table cell"):
            files.write_table(tmp_path / "x.tsv", [{"method": [1, 2]}], ["method"])

    def test_byte_order_mark_crlf_and_blank_lines_are_tolerated(self, tmp_path: Path) -> None:
        (tmp_path / "x.tsv").write_bytes(b"\xef\xbb\xbfparticipant_id\tage\r\nsub-01\t34 \r\n\r\nsub-02\tn/a\r\n")
        expected = [{"participant_id": "sub-01", "age": "34"}, {"participant_id": "sub-02", "age": None}]
        assert files.read_table(tmp_path / "x.tsv") == expected

    def test_quotes_around_every_cell_are_those_of_r(self, tmp_path: Path) -> None:
        (tmp_path / "x.tsv").write_text(
            '"participant_id"\t"age"\t"note"\n"sub-01"\t34\tNA\n"sub-02"\tn/a\t"a \\"b\\" ""c"""\n'
        )
        assert files.read_header(tmp_path / "x.tsv") == ["participant_id", "age", "note"]
        assert files.read_table(tmp_path / "x.tsv") == [
            {"participant_id": "sub-01", "age": "34", "note": "NA"},
            {"participant_id": "sub-02", "age": None, "note": 'a "b" "c"'},
        ]
        (tmp_path / "x.tsv").write_text('"participant_id"\t"age"\n"1"\t"sub-01"\t34\n')
        with pytest.raises(MetadataError, match=r"row\.names = FALSE"):
            files.read_table(tmp_path / "x.tsv")
        (tmp_path / "x.tsv").write_text('participant_id\tnote\nsub-01\t"x"\n')  # a table of ours: nothing is lost
        assert files.read_table(tmp_path / "x.tsv")[0]["note"] == '"x"'

    def test_very_many_columns(self, tmp_path: Path) -> None:
        names = "\t".join(f"c{number}" for number in range(200_000))
        (tmp_path / "x.tsv").write_text(f"{names}\n{names}\n")
        start = time.process_time()
        assert len(files.read_table(tmp_path / "x.tsv")[0]) == 200_000
        assert time.process_time() - start < 10

    def test_labels_stay_text(self, tmp_path: Path) -> None:
        (tmp_path / "x.tsv").write_text("session_id\n01\n")
        assert files.read_table(tmp_path / "x.tsv") == [{"session_id": "01"}]

    @pytest.mark.parametrize(
        "content",
        [
            "a\tb\t\t\n1\t2\t\t\n3\t4\tn/a\t\n",  # empty columns of a spreadsheet
            "a\t\tb\n1\t\t2\n3\t\t4\n",
            "a\tb\t\t\n1\t2\n3\t4\t\n",  # whose tabs an editor took away
            "a\tb\n1\t2\t\n3\t4\t\t\n",  # in the header alone
            "a\tb\t\t\n1\t2\t#N/A\t\n3\t4\t\tNaN\n",  # formulas that were drawn too far
            "\ta\tb\n0\t1\t2\n1\t3\t4\n",  # the index of pandas
            '""\t"a"\t"b"\n"1"\t"1"\t"2"\n"2"\t"3"\t"4"\n',  # names of rows of R
        ],
    )
    def test_columns_without_a_name_are_left_out(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "x.tsv").write_text(content)
        assert files.read_table(tmp_path / "x.tsv") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "no header"),
            (b"\r\n", "no header"),
            (b"a\tb\n1\n", "row 2 has 1 cells, the header has 2"),
            (b"a\tb\n1\t2\n1\t2\t3\n", "row 3 has 3 cells"),
            (b"a\tb\ta\n", "'a' is there twice"),
            (b"\t\t\n1\t2\t3\n", "no header"),
            (b"a\t\t\n1\t\t\n2\t\t3\n", "column 3 has no name. Give it a name, or delete it: row 3 has a value there"),
            (b"a\tb\n1\t2\t\t3\n", "row 2 has 4 cells, the header has 2"),
            (b"a\n\xe9\n", "not UTF-8"),
            ("a\tb\n1\t2\n".encode("utf-16-le"), "but UTF-16"),
            ("a\tb\n1\t2\n".encode("utf-16"), "but UTF-16"),
            (b"PK\x03\x04\x14\0\x06", "a file of a spreadsheet program. Save it from there as text"),
        ],
    )
    def test_a_damaged_table_is_named(self, tmp_path: Path, content: bytes, problem: str) -> None:
        path = tmp_path / "x.tsv"
        path.write_bytes(content)
        with pytest.raises(MetadataError, match=problem) as caught:
            files.read_table(path)
        assert caught.value.path == path


class TestWriting:
    def test_folders_are_made_and_no_temporary_file_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b" / "x.txt"
        files.write_text(path, "ä\n")
        assert path.read_bytes() == "ä\n".encode()
        assert [entry.name for entry in path.parent.iterdir()] == ["x.txt"]

    def test_the_same_content_leaves_the_file_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "x.txt"
        files.write_text(path, "a")
        before = path.stat()
        files.write_text(path, "a")
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        files.write_text(path, "b")
        assert path.read_text() == "b"

    @pytest.mark.parametrize(
        ("code", "mend"),
        [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only"), (errno.EIO, "Check the output")],
    )
    def test_a_failed_write_keeps_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, mend: str
    ) -> None:
        path = tmp_path / "x.txt"
        path.write_text("old")

        def fail(self: Path, target: Path) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OutputError, match=mend) as caught:
            files.write_text(path, "new")
        assert caught.value.path == path
        assert path.read_text() == "old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["x.txt"]

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError):
            files.write_text(tmp_path / "file" / "x.txt", "a")
        with pytest.raises(OutputError):
            files.write_text(tmp_path, "a")


def test_names_of_a_folder_and_none_of_what_is_no_folder(tmp_path) -> None:
    (tmp_path / "a").touch()
    assert files.names_in(tmp_path) == ["a"]
    assert files.names_in(tmp_path / "a") == files.names_in(tmp_path / "gone") == []
