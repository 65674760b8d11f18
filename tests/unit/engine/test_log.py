from __future__ import annotations

import io
import json
import logging

import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine.log import SHOWN, Reporter
from thalbids.engine.step import Step, StepResult
from thalbids.errors import OutputError, UsageError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def result(name, status, reason="", **more):
    return StepResult(name, status, reason, session=name.split()[0], **more)


def test_the_folder_holds_settings_log_and_summary(out):
    with Reporter(out, settings="[run]\nnprocs = 1\n", stream=io.StringIO()) as reporter:
        reporter.begin(2)
        reporter.finished(result("s1 a", "ok", seconds=1.5, peak_mb=100.0))
        reporter.finished(result("s2 a", "failed", "the file is truncated."), traceback="Traceback ...\n")
    folder = reporter.directory
    assert folder.parent == out / "logs"
    assert (folder / "settings.toml").read_text() == "[run]\nnprocs = 1\n"
    text = (folder / "run.log").read_text()
    assert "INFO    [1/2] ok s1 a (1.5 s)" in text
    assert "ERROR   [2/2] FAILED s2 a: the file is truncated." in text
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["ending"] == "finished"
    assert summary["counts"] == {"ok": 1, "cached": 0, "excluded": 0, "blocked": 0, "failed": 1, "lost": 0}
    assert summary["sessions"] == {"s1": {"ok": 1}, "s2": {"failed": 1}}
    assert summary["steps"][0]["seconds"] == 1.5
    assert summary["steps"][1]["traceback"].startswith("logs/")
    assert (out / summary["steps"][1]["traceback"]).read_text() == "Traceback ...\n"


def test_the_last_lines_say_what_failed_and_why(out):
    stream = io.StringIO()
    with Reporter(out, stream=stream) as reporter:
        reporter.begin(5)
        reporter.finished(result("s1 a", "ok"))
        reporter.finished(result("s1 b", "cached", cached=True))
        reporter.finished(result("s2 a", "failed", "out of memory."))
        reporter.finished(result("s2 b", "blocked", "s2 a failed: out of memory."))
        reporter.finished(result("s3 a", "excluded", "metric 0.1 below 0.3"))
    lines = stream.getvalue().splitlines()
    assert lines[-3:-1] == ["excluded s3 a: metric 0.1 below 0.3", "FAILED s2 a: out of memory."]
    assert lines[-1].startswith("1 ok, 1 cached, 1 excluded, 1 blocked, 1 failed; ")
    assert lines[-1].endswith(f"log: logs/{reporter.directory.name} in the output folder")
    assert not any("s1 b" in line for line in lines)
    assert "[4/5] blocked s2 b: s2 a failed" in lines  # the reason stands in the line above
    assert json.loads((reporter.directory / "summary.json").read_text())["steps"][3]["reason"].endswith(
        "out of memory."
    )


def test_a_terse_run_shows_ten_lines_and_what_went_wrong(out):
    stream = io.StringIO()
    with Reporter(out, stream=stream, terse=True) as reporter:
        reporter.begin(40)
        reporter.info("left out: something long")
        for number in range(39):
            reporter.finished(result(f"s{number} a", "ok"))
        reporter.finished(result("s39 a", "failed", "out of memory."))
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.endswith("of 40 steps")] == [f"  {n} of 40 steps" for n in range(4, 41, 4)]
    assert lines[-2] == "FAILED s39 a: out of memory." and len(lines) == 13
    text = (reporter.directory / "run.log").read_text()
    assert "ok s7 a" in text and "left out: something long" in text


def test_many_failures_are_counted_rather_than_listed(out):
    stream = io.StringIO()
    with Reporter(out, stream=stream) as reporter:
        for number in range(SHOWN + 7):
            reporter.finished(result(f"s{number} a", "failed", f"why {number}"))
        tail = reporter.last_lines()
    assert len(tail) == SHOWN + 2
    assert tail[-2] == "... and 7 more, see summary.json"


def test_failures_for_one_reason_are_one_line(out):
    with Reporter(out, stream=io.StringIO()) as reporter:
        for number in range(5):
            reporter.finished(result(f"s{number} a", "failed", "out of memory."))
        reporter.finished(result("s1 b", "failed", "no file."))
        reporter.finished(result("s1 c", "excluded", "out of memory."))
        tail = reporter.last_lines()
    assert tail[:-1] == [
        "excluded s1 c: out of memory.",
        "FAILED 5 steps (s0 a, s1 a, s2 a and 2 more): out of memory.",
        "FAILED s1 b: no file.",
    ]


@pytest.mark.parametrize(
    ("error", "ending"),
    [(KeyboardInterrupt(), "interrupted"), (UsageError("no"), "stopped"), (ZeroDivisionError(), "crashed")],
)
def test_the_summary_is_written_however_the_run_ends(out, error, ending):
    with pytest.raises(type(error)), Reporter(out, stream=io.StringIO()) as reporter:
        reporter.finished(result("s1 a", "ok"))
        raise error
    summary = json.loads((reporter.directory / "summary.json").read_text())
    assert (summary["ending"], len(summary["steps"])) == (ending, 1)


def test_two_runs_in_one_second_have_their_own_folders(out):
    with Reporter(out, stream=io.StringIO()) as one, Reporter(out, stream=io.StringIO()) as two:
        assert one.directory != two.directory


def test_messages_of_other_modules_reach_the_log_and_handlers_are_put_back(out):
    logger = logging.getLogger("thalbids")
    before = logger.handlers[:]
    stream = io.StringIO()
    with Reporter(out, stream=stream) as reporter:
        logging.getLogger("thalbids.bids.dataset.inputs").warning("two T1w, the first is taken")
    assert logger.handlers == before
    assert "WARNING two T1w" in (reporter.directory / "run.log").read_text()
    assert stream.getvalue().count("warning: two T1w, the first is taken") == 1


def test_a_terminal_gets_a_bar_that_does_not_smear_lines(out):
    stream = Terminal()
    step = Step("s1 a", "s1", tiny.join, {}, {"x": out / "x.txt"})
    with Reporter(out, stream=stream) as reporter:
        reporter.begin(2)
        reporter.started(step)
        reporter.finished(result("s1 a", "ok"))
        reporter.finished(result("s2 a", "failed", "why"))
    text = stream.getvalue()
    assert "\r[....................] 0/2 s1 a" in text
    assert "[####################] 2/2, 1 failed" in text
    shown = [line.rpartition("\r")[2] for line in text.split("\n")]
    assert shown[0] == "[2/2] FAILED s2 a: why"


def test_no_bar_where_nobody_looks(out):
    stream = io.StringIO()
    with Reporter(out, stream=stream) as reporter:
        reporter.begin(1)
        reporter.finished(result("s1 a", "ok", seconds=2))
    assert "\r" not in stream.getvalue()
    assert stream.getvalue().splitlines()[0] == "[1/1] ok s1 a (2.0 s)"


def test_a_closed_pipe_does_not_end_the_run(out):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    with Reporter(out, stream=Broken()) as reporter:
        reporter.info("hello")
        reporter.finished(result("s1 a", "ok"))
    assert (reporter.directory / "summary.json").exists()


def test_a_full_disk_does_not_hide_the_error_that_it_caused(out, monkeypatch):
    stream = io.StringIO()
    with pytest.raises(OutputError, match="the disk is full"), Reporter(out, stream=stream) as reporter:
        original = reporter._file.write

        def write(text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pathlib.Path.write_bytes", lambda self, data: write(data))
        reporter._file = type("Full", (), {"write": staticmethod(write), "flush": write, "close": lambda self: None})()
        reporter.finished(result("s1 a", "failed", "why"), traceback="Traceback ...")
        raise OutputError("the disk is full.")
    assert "FAILED s1 a: why" in stream.getvalue()
    assert "No space left" in stream.getvalue()
    assert original is not None


def test_a_log_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        Reporter(tmp_path / "out", stream=io.StringIO())


def test_a_remark_for_the_end_is_said_once(out):
    stream = io.StringIO()
    with Reporter(out, settings="", stream=stream) as reporter:
        reporter.remark("warning: at once and at the end")
        reporter.remark("excluded: at the end", now=False)
    shown = stream.getvalue()
    assert shown.count("at once and at the end") == 2 and shown.count("excluded: at the end") == 1
    assert "excluded: at the end" in (reporter.directory / "run.log").read_text()
