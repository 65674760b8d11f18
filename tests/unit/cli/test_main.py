"""The command line: what is parsed, what is passed on, and which exit code comes back."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.cli.conftest import Recorder
from thalbids import errors
from thalbids.cli import demo, segment
from thalbids.cli.main import main, parse, settings_of
from thalbids.cli.parser import app_parser
from thalbids.programs import DbSegmentSettings, MindGlideSettings
from thalbids.settings import Inputs, Methods, Run, Settings


def test_defaults_are_passed_on(run: Recorder, raw: str) -> None:
    assert main([raw, "out", "participant"]) == 0
    assert run.calls == [(Path(raw), Path("out"), Settings(), {"dry_run": False, "reports_only": False})]


def test_every_option_reaches_its_setting(run: Recorder, raw: str, tmp_path: Path) -> None:
    words = f"""{raw} out participant --participant-label sub-01 02 --session-label a,b --skip-bids-validation
        --bids-filter-file {tmp_path}/f.json --bids-database-dir {tmp_path}/db --work-dir {tmp_path}/w
        --nprocs 3 --omp-nthreads 2 --mem 7.5 --stop-on-first-crash --methods synthal --precision fast
        --dry-run""".split()
    assert main(words) == 0
    expected = Settings(
        run=Run(3, 2, 7.5, tmp_path / "w", stop_on_first_crash=True, precision="fast"),
        inputs=Inputs(("01", "02"), ("a", "b"), tmp_path / "f.json", tmp_path / "db", skip_bids_validation=True),
        methods=Methods(("synthal",)),
    )
    assert run.calls[0][2:] == (expected, {"dry_run": True, "reports_only": False})


def test_command_line_wins_over_the_settings_file(run: Recorder, raw: str, tmp_path: Path) -> None:
    config = tmp_path / "thalbids.toml"
    config.write_text("[run]\nnprocs = 4\nseed = 9\n")
    assert main([raw, "out", "participant", "--config", str(config), "--nprocs", "2"]) == 0
    assert run.calls[0][2].run == Run(nprocs=2, seed=9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to do."),
        (["{raw}", "out", "partcipant"], "unknown analysis level 'partcipant'."),
        (["{raw}", "out"], "the following arguments are required: {participant,group}."),
        (["{raw}", "out", "--participant-label", "01", "participant"], "also takes the words that follow"),
        (["{raw}", "out", "participant", "--participant-label", ""], "no name given"),
        (["{raw}", "out", "participant", "--participant-label", ","], "no name given"),
        (["{raw}", "out", "participant", "--nproc", "2"], "unrecognized arguments: --nproc 2."),
        (["{raw}", "out", "participant", "--nprocs", "two"], "invalid int value: 'two'"),
        (["{raw}", "out", "participant", "--nprocs", "0"], "run.nprocs is 0. It must be at least 1."),
        (["{raw}", "out", "participant", "--mem", "nan"], "run.mem_gb is nan."),
        (["{raw}", "out", "participant", "--precision", "half"], "invalid choice: 'half'"),
        (["{raw}", "out", "participant", "--dry-run", "--reports-only"], "not allowed with argument"),
        (["{raw}", "out", "participant", "--config", "/none.toml"], "/none.toml: the settings file cannot be read"),
        (["{raw}", "out", "participant", "--work-dir", __file__], "the work directory is or lies in a file."),
        (["participant", "{raw}", "out"], "The level comes last, after the two folders."),
        (["segment"], "the following arguments are required: SCAN."),
    ],
)
def test_wrong_usage(
    run: Recorder, raw: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main([word.format(raw=raw) for word in words]) == 2
    assert run.calls == []
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_the_pages_are_named_at_the_end(
    run: Recorder, raw: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main([raw, str(out), "participant"]) == 0
    assert "reports" not in capsys.readouterr().err
    for name in ("sub-01.html", "qc.html"):
        (out / name).touch()
    assert main([raw, str(out), "participant"]) == 0
    assert f"reports: {out}/sub-*.html, {out}/qc.html" in capsys.readouterr().err


def test_missing_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "out", "participant"]) == 66
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file"), "out", "participant"]) == 66
    shown = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"thalbids: {tmp_path}") for line in shown] == [True, True]


def test_temporary_files_go_to_the_work_directory(
    run: Recorder, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", tempfile.gettempdir()))  # put back afterwards
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert main([raw, "out", "participant", "--work-dir", str(tmp_path / "new" / "work")]) == 0
    assert Path(tempfile.gettempdir()) == tmp_path / "new" / "work"
    code = "import tempfile; print(tempfile.gettempdir())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(tmp_path / "new" / "work")
    (tmp_path / "file").touch()
    assert main([raw, "out", "participant", "--work-dir", str(tmp_path / "file" / "work")]) == 2
    assert "the work directory is or lies in a file." in capsys.readouterr().err


def test_a_dry_run_refuses_a_work_directory_as_the_run_does_and_makes_none(
    run: Recorder, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", tempfile.gettempdir()))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "file").touch()
    here = sorted(tmp_path.rglob("*"))
    before = tempfile.gettempdir()
    for level in ("participant", "group"):
        for place in ("file", "file/work"):
            assert main([raw, "out", level, "--dry-run", "--work-dir", str(tmp_path / place)]) == 2
            assert "the work directory is or lies in a file." in capsys.readouterr().err
    assert main([raw, "out", "participant", "--dry-run", "--work-dir", str(tmp_path / "new" / "work")]) == 0
    assert (sorted(tmp_path.rglob("*")), tempfile.gettempdir()) == (here, before)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    assert main([raw, "out", "participant", "--dry-run", "--work-dir", str(tmp_path / "new" / "work")]) == 1
    told = "the work directory cannot be used (Permission denied). Give another --work-dir."
    assert told in capsys.readouterr().err


def test_warnings_look_alike(run: Recorder, raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([raw, "out", "participant"]) == 0
    logging.getLogger("thalbids.x").warning("two %s", "T1w")
    assert capsys.readouterr().err == "warning: two T1w\n"


def test_verbosity_is_a_setting(run: Recorder, raw: str) -> None:
    for words, expected in ((["-vv"], 2), (["-v", "--verbose"], 2), ([], 0)):
        assert main([raw, "out", "participant", *words]) == 0
        assert run.calls[-1][2].run.verbose == expected


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (0, 0),
        (1, 1),
        (errors.ImageError("broken.", "Copy it again.", "x.nii"), 1),
        (errors.OutputError("full."), 1),
        (errors.UsageError("no."), 2),
        (errors.NoInputError("empty."), 66),
        (errors.MissingToolError("weights."), 69),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    run: Recorder, raw: str, capsys: pytest.CaptureFixture[str], outcome: int | BaseException, code: int
) -> None:
    run.outcome = outcome
    assert main([raw, "out", "participant"]) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    if isinstance(outcome, errors.ThalbidsError):
        assert shown == f"thalbids: {outcome}\n"


def test_a_bug_is_short_on_the_terminal_and_whole_in_the_logs(
    run: Recorder, raw: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "logs").mkdir(parents=True)
    run.outcome = KeyError("thing")
    assert main([raw, str(tmp_path / "out"), "participant"]) == 70
    shown = capsys.readouterr().err
    (report,) = (tmp_path / "out" / "logs").iterdir()
    assert "Traceback" not in shown
    assert "KeyError: 'thing'" in shown
    assert str(report) in shown
    assert "Traceback" in report.read_text()
    assert "in participant" in report.read_text()


def test_a_bug_without_an_output_folder_goes_to_the_temporary_folder(
    run: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run.outcome = ValueError("thing")
    assert main(["segment", "x.nii"]) == 70
    (report,) = tmp_path.glob("bug-*.txt")
    assert str(report) in capsys.readouterr().err


def test_the_end_of_a_pipe_is_not_a_bug(run: Recorder, raw: str) -> None:
    stand_in = f"""
import sys, types
run = types.ModuleType("thalbids.participant.run")
run.participant = lambda *a, **k: print("line\\n" * 100_000) or 0
sys.modules["thalbids.participant.run"] = run
from thalbids.cli.main import main
sys.exit(main([{raw!r}, "out", "participant"]))
"""
    process = subprocess.Popen([sys.executable, "-c", stand_in], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_run_in_order(raw: str, number: int, code: int) -> None:
    stand_in = f"""
import os, sys, types
run = types.ModuleType("thalbids.participant.run")
def participant(*args, **switches):
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        print("tidied up")
run.participant = participant
sys.modules["thalbids.participant.run"] = run
from thalbids.cli.main import main
sys.exit(main([{raw!r}, "out", "participant"]))
"""
    done = subprocess.run([sys.executable, "-c", stand_in], capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert done.stdout == "tidied up\n"
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr


def test_main_leaves_the_signal_handler_as_it_was(run: Recorder, raw: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main([raw, "out", "participant"])
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("make", [app_parser, segment.parser, demo.parser])
def test_help_fits_eighty_columns_and_names_every_exit_code(make: Any) -> None:
    text = make().format_help()
    assert max(len(line) for line in text.splitlines()) <= 80
    for code in ("0", "1", "2", "66", "69", "70", "130"):
        assert f"\n  {code} " in text


@pytest.mark.parametrize("words", [["--help"], ["segment", "--help"], ["demo", "-h"]])
def test_help_is_exit_code_zero(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: thalbids")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import thalbids

    assert main(["--version"]) == main(["segment", "--version"]) == 0
    assert set(capsys.readouterr().out.splitlines()) == {f"thalbids {thalbids.__version__}"}


def test_start_imports_nothing_heavy() -> None:
    code = "import sys, thalbids.cli.main as m; m.parse(['a', 'b', 'participant']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "numpy",
        "nibabel",
        "scipy",
        "ants",
        "openvino",
        "pandas",
        "bids",
        "dask",
        "matplotlib",
        "jinja2",
    }


def test_device_is_that_of_both_programs_that_may_use_a_gpu() -> None:
    settings = settings_of(parse(["raw", "out", "participant", "--device", "cuda"]))
    assert settings.of(MindGlideSettings).device == settings.of(DbSegmentSettings).device == "cuda"


def test_settings_of_a_verb_without_options_are_the_defaults() -> None:
    assert settings_of(parse(["segment", "x.nii"])) == Settings()


def test_the_version_can_be_asked_for_again_when_the_build_wrote_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import thalbids

    written = ModuleType("thalbids._version")
    written.version = "1.2.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "thalbids._version", written)
    monkeypatch.setattr(thalbids, "_version", written, raising=False)  # what an import of a submodule does
    assert [thalbids.__version__, thalbids.__version__] == ["1.2.3", "1.2.3"]


def test_the_python_interface_is_loaded_when_asked_for() -> None:
    import thalbids
    from thalbids.methods.synthal import segment_image

    assert thalbids.segment is segment_image
    assert {"segment", "__version__"} <= set(dir(thalbids))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = thalbids.nothing  # type: ignore[attr-defined]


def test_linear_algebra_keeps_to_one_thread() -> None:
    """Its last digits depend on the number of threads, and so the bytes of results would."""
    code = "import thalbids.cli.main, os, numpy; print(os.environ['OPENBLAS_NUM_THREADS'])"
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "7"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"
    early = "import thalbids.cli.main, sys; print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
