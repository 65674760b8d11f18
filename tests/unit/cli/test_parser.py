"""Options: their names, and the settings that they reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Recorder
from thalbids import families
from thalbids.cli import demo, segment
from thalbids.cli.main import main, parse, settings_of, verb
from thalbids.cli.parser import ELSEWHERE, VERBS, app_parser, hyphenated
from thalbids.errors import UsageError
from thalbids.programs import FreeSurferSettings
from thalbids.settings import Settings


def test_underscores_give_the_same(run: Recorder, raw: str) -> None:
    assert main([raw, "out", "participant", "--participant_label=a_b", "--omp_nthreads", "2", "--reports_only"]) == 0
    assert main([raw, "out", "participant", "--participant-label=a_b", "--omp-nthreads", "2", "--reports-only"]) == 0
    assert run.calls[0] == run.calls[1]
    assert run.calls[0][2].inputs.participant_label == ("a_b",)


def test_only_the_names_of_long_options_change() -> None:
    words = ["a_b", "-x_y", "--work_dir=c_d", "--mem_gb", "--", "--e_f"]
    assert hyphenated(words) == ["a_b", "-x_y", "--work-dir=c_d", "--mem-gb", "--", "--e_f"]


def test_every_setting_option_exists_in_the_settings() -> None:
    for parser in (app_parser(), demo.parser(), segment.parser()):
        for action in parser._actions:
            if "." in action.dest:
                section, _, key = action.dest.rpartition(".")
                kind = families.tables().get(section)
                assert hasattr(kind() if kind else getattr(Settings(), section), key)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["", "out", "participant"], "BIDS_DIR"),
        (["raw", " ", "group"], "OUTPUT_DIR"),
        (["raw", "out", "participant", "--work-dir", ""], "--work-dir"),
        (["raw", "out", "participant", "--fs-subjects-dir="], "--fs-subjects-dir"),
        (["raw", "out", "participant", "--template", ""], "--template"),
        (["raw", "out", "group", "--ratings", "a.tsv", ""], "--ratings"),
        (["segment", "", "x.nii.gz"], "SCAN"),
        (["segment", "x.nii.gz", "-o", ""], "-o/--output-dir"),
        (["share", "out", ""], "DEST"),
        (["rate", ""], "OUT_DIR"),
        (["demo", ""], "DIR"),
        (["select-gt", "", "list.tsv"], "BIDS_DIR"),
    ],
)
def test_a_variable_that_is_not_set_does_not_mean_the_current_folder(
    words: list[str], named: str, run: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert not run.calls
    assert f"argument {named}: the value is empty (a shell variable that is not set?)." in capsys.readouterr().err


def test_no_option_takes_an_empty_path() -> None:
    parsers = (app_parser(), *(verb(name).parser() for name in VERBS))
    assert not [action.option_strings for parser in parsers for action in parser._actions if action.type is Path]


def test_options_of_tools_reach_their_tables(tmp_path: Path) -> None:
    words = ["raw", "out", "participant", "--fs_subjects-dir", str(tmp_path), "--fs-license-file", "/lic.txt"]
    freesurfer = settings_of(parse(hyphenated(words))).of(FreeSurferSettings)
    assert (freesurfer.subjects_dir, freesurfer.license_file) == (tmp_path, Path("/lic.txt"))


@pytest.mark.parametrize("word", ["--nthreads", "--n_cpus", "--n-cpus", "--n_procs", "--ncpus", "--nprocs"])
def test_names_of_other_apps_for_the_same_are_taken(
    run: Recorder, raw: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert main([raw, "out", "participant", word, "3", "--mem_gb", "7.5", "-w", "scratch"]) == 0
    assert (run.calls[0][2].run.nprocs, run.calls[0][2].run.mem_gb) == (3, 7.5)
    assert run.calls[0][2].run.work_dir == Path("scratch").absolute()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mem_mb", "8000"], "Here it is --mem GB (in GB, not MB)."),
        (["--threads=4"], "Here it is --omp-nthreads N (threads of one step; --nprocs N for workers)."),
        (["--output-spaces", "T1w"], "masks lie in the space of the scan (T1w); --template NAME adds"),
        (["--notrack"], "--notrack is not needed: nothing is sent anywhere."),
        (["--participant-lable", "01"], "Did you mean --participant-label?"),
        (["--fs-licence-file", "x"], "Did you mean --fs-license-file?"),
        (["--cifti-output"], "See: thalbids --help"),
    ],
)
def test_options_of_other_apps_are_recognised(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(hyphenated(["raw", "out", "participant", *words]))
    assert said in str(caught.value) and caught.value.exit_code == 2


def test_what_is_recommended_exists() -> None:
    there = {word for action in app_parser()._actions for word in action.option_strings}
    assert not set(ELSEWHERE) & there
    assert {ours.split()[0] for ours, _ in ELSEWHERE.values() if ours} <= there
