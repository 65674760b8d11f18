"""Settings: precedence, names, types, and the round trip through TOML."""

from __future__ import annotations

import pickle
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalbids import families
from thalbids.errors import UsageError
from thalbids.methods.embedded import SynthalSettings
from thalbids.programs import DbSegmentSettings, FreeSurferSettings, FslSettings, MindGlideSettings
from thalbids.settings import (
    Inputs,
    Methods,
    Outputs,
    Registration,
    Run,
    Settings,
    Siena,
    load,
    presets,
    unknown_name,
)


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "thalbids.toml"
    path.write_bytes(text.encode(encoding))
    return path


def test_defaults_need_no_file() -> None:
    assert load() == Settings()


def test_command_line_wins_over_file_and_file_over_defaults(tmp_path: Path) -> None:
    config = write(tmp_path, "[run]\nnprocs = 3\nmem_gb = 8\n[registration]\nbins = 32\n")
    settings = load(config, {"run": {"nprocs": 2}})
    assert settings.run == Run(nprocs=2, mem_gb=8.0)
    assert isinstance(settings.run.mem_gb, float)
    assert settings.registration == Registration(bins=32)


def test_hyphen_and_underscore_spellings_are_one_key(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        '[run]\nomp-nthreads = 2\nstop-on-first-crash = true\n[inputs]\nparticipant-label = ["sub-01", "02"]\n',
    )
    assert load(config) == load(
        None, {"run": {"omp_nthreads": 2, "stop_on_first_crash": True}, "inputs": {"participant_label": ["01", "02"]}}
    )
    with pytest.raises(UsageError, match=r"run\.omp_nthreads is set twice"):
        load(write(tmp_path, "[run]\nomp-nthreads = 2\nomp_nthreads = 2\n"))


def test_byte_order_mark_and_crlf_are_accepted(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[run]\r\nseed = 7\r\n", "utf-8-sig")).run.seed == 7


def test_labels_lose_their_prefix_and_repetitions() -> None:
    inputs = load(None, {"inputs": {"participant_label": ["sub-01", "01", "02"], "session_label": ["ses-a"]}}).inputs
    assert inputs == Inputs(participant_label=("01", "02"), session_label=("a",))


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = write(tmp_path, '[run]\nwork_dir = "work"\n')
    assert load(config).run.work_dir == tmp_path / "work"
    assert load(Path("../thalbids.toml")).run.work_dir.resolve() == tmp_path / "work"
    assert load(None, {"run": {"work_dir": Path("work")}}).run.work_dir == tmp_path / "elsewhere" / "work"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nnproc = 2\n", "unknown setting in [run] 'nproc'. Did you mean 'nprocs'?"),
        ("[rnu]\nnprocs = 2\n", "unknown section 'rnu'. Did you mean 'run'?"),
        (
            "[qqqq]\nnprocs = 2\n",
            "unknown section 'qqqq'. There is: brain, checks, clinical, cluster, group, inputs, methods, ",
        ),
        ("run = 3\n", "'run' is a section, not a value."),
        ("[run]\nnprocs = 0\n", "run.nprocs is 0. It must be at least 1."),
        ("[run]\nnprocs = 2.5\n", "run.nprocs is 2.5. It must be a whole number."),
        ("[run]\nnprocs = true\n", "run.nprocs is True. It must be a whole number."),
        ("[run]\nmem_gb = 0\n", "run.mem_gb is 0. It must be above 0."),
        ("[run]\nmem_gb = nan\n", "run.mem_gb is nan. It must be a number."),
        ("[run]\nwork_dir = 3\n", "run.work_dir is 3. It must be a path."),
        ("[run]\nprecision = 'half'\n", "unknown value of run.precision 'half'."),
        ("[run]\nprecision = 'fsat'\n", "Did you mean 'fast'?"),
        ("[outputs]\nreport = 1\n", "outputs.report is 1. It must be true or false."),
        ("[methods]\nnames = 'synthal'\n", "methods.names is 'synthal'. It must be a list: [\"synthal\"]"),
        ("[group]\noutcomes = 'edss, sdmt'\n", 'It must be a list: ["edss", "sdmt"]'),
        ("[qmri]\nsource = ['MPMM']\n", "Did you mean 'MPM'?"),
        ("[siena]\nsomething = 5\n", "unknown setting in [siena] 'something'. There is: "),
        ("[methods]\nnames = ['']\n", "methods.names is ['']. It must be a list of names"),
        ("[methods]\nextra_ensembles = ['stapel']\n", "Did you mean 'staple'?"),
        ("[registration]\ncutoffs = 0.3\n", "registration.cutoffs is 0.3. It must be a table of numbers."),
        ("[registration.cutoffs]\nants = 'x'\n", "registration.cutoffs.ants is 'x'. It must be a number."),
        ("[run\n", "the settings file is not valid TOML"),
        ("[tools.dbsegmnt]\nrunner = 'docker'\n", "unknown section in [tools] 'dbsegmnt'. Did you mean 'dbsegment'?"),
        ("[tools.fsl]\nimages = 'x'\n", "unknown setting in [tools.fsl] 'images'. Did you mean 'image'?"),
        ("[tools]\nfsl = 'docker'\n", "'tools.fsl' is a section, not a value. Write [tools.fsl]"),
        ("[tools.fsl]\nrunner = 'singularity'\n", "unknown value of tools.fsl.runner 'singularity'."),
        ("[tools.fsl]\ntimeout-minutes = 0\n", "tools.fsl.timeout_minutes is 0. It must be above 0."),
        ("[tools.dbsegment]\nfolds = [7]\n", "tools.dbsegment.folds is 7. It must be at most 6."),
        ("[tools.dbsegment]\nfolds = 4\n", "tools.dbsegment.folds is 4. It must be a list of whole numbers"),
        ("[tools.dbsegment]\nfolds = ['4']\n", "tools.dbsegment.folds is '4'. It must be a whole number."),
    ],
)
def test_wrong_files_say_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    config = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(config)
    assert message in str(caught.value)
    assert caught.value.path == config


def test_tables_of_tools_keep_every_word_and_the_command_line_wins_key_by_key(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        '[tools.freesurfer]\nsubjects-dir = "fs"\nhires = true\noptions = ["-expert", "x", "-x", "x", ""]\n'
        "[tools.dbsegment]\nfolds = [4, 6]\ntest_time_augmentation = false\n",
    )
    settings = load(config, {"tools": {"freesurfer": {"license_file": Path("/lic")}}})
    assert settings.of(FreeSurferSettings) == FreeSurferSettings(
        subjects_dir=tmp_path / "fs", hires=True, options=("-expert", "x", "-x", "x", ""), license_file=Path("/lic")
    )
    assert settings.of(DbSegmentSettings) == DbSegmentSettings(folds=(4, 6), test_time_augmentation=False)
    assert settings.of(FslSettings) == FslSettings()


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="not valid TOML"):
        load(write(tmp_path, '[run]\nwork_dir = "ä"\n', "latin-1"))


def test_a_path_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="valid text"):
        load(None, {"run": {"work_dir": Path("/data/\udcff")}})


def test_settings_reach_a_worker_unchanged() -> None:
    settings = Settings(registration=Registration(cutoffs={"ants": 0.25}))
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_unknown_name_falls_back_to_the_list() -> None:
    assert str(unknown_name("method", "zzz", ["synthal", "first"])) == "unknown method 'zzz'. There is: first, synthal."


text = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)
labels = st.lists(text.filter(lambda label: not label.startswith(("sub-", "ses-"))), unique=True).map(tuple)
paths = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(
    lambda name: Path("/data") / name.lstrip("/")
)
words = st.lists(text).map(tuple)
any_text = st.text(st.characters(codec="utf-8"))
numbers = st.floats(allow_nan=False, allow_infinity=False)
settings_of_any_kind = st.builds(
    Settings,
    run=st.builds(
        Run,
        nprocs=st.integers(1, 2**40),
        omp_nthreads=st.integers(0, 64),
        mem_gb=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
        work_dir=paths,
        stop_on_first_crash=st.booleans(),
        precision=st.sampled_from(["full", "fast"]),
        seed=st.integers(0, 2**32),
        verbose=st.integers(0, 3),
    ),
    inputs=st.builds(
        Inputs,
        participant_label=labels,
        session_label=labels,
        bids_filter_file=paths,
        bids_database_dir=paths,
        skip_bids_validation=st.booleans(),
    ),
    registration=st.builds(
        Registration,
        flair_strategies=labels,
        r1map_strategies=labels,
        rule=st.sampled_from(["measured", "paper"]),
        cutoffs=st.dictionaries(text, numbers),
        bins=st.integers(8, 512),
    ),
    methods=st.builds(
        Methods, names=labels, extra_ensembles=st.sampled_from([(), ("staple",), ("intersection", "staple")])
    ),
    outputs=st.builds(Outputs, report=st.booleans()),
    siena=st.builds(Siena, run=st.sampled_from(["auto", "no"]), table=paths, directory=paths),
    of_methods=st.fixed_dictionaries(
        {
            "synthal": st.builds(SynthalSettings, flip_averaging=st.just(False), write_probabilities=st.booleans()),
            "tools.fsl": st.builds(FslSettings, command=words, image=text, siena_options=words),
            "tools.freesurfer": st.builds(FreeSurferSettings, subjects_dir=paths, hires=st.just(True), options=words),
            "tools.dbsegment": st.builds(
                DbSegmentSettings,
                runner=st.sampled_from(["docker", "apptainer"]),
                timeout_minutes=st.floats(0, exclude_min=True, allow_infinity=False),
                folds=st.lists(st.integers(0, 6), unique=True).map(tuple),
                test_time_augmentation=st.none() | st.booleans(),
            ),
            "tools.mindglide": st.builds(MindGlideSettings, checkpoint=paths, device=st.sampled_from(["auto", "cuda"])),
        }
    ),
)


@hypothesis.settings(max_examples=40, deadline=None)
@given(settings_of_any_kind)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> None:
    config = tmp_path_factory.mktemp("toml", numbered=True) / "settings.toml"
    config.write_text(settings.to_toml(), encoding="utf-8", newline="")
    assert load(config) == settings


def sections() -> dict[str, Any]:
    """Every section of the settings file with its defaults, by its full name."""
    own = {item.name: getattr(Settings(), item.name) for item in fields(Settings) if item.name != "of_methods"}
    return own | {name: kind() for name, kind in families.tables().items()}


def test_no_method_may_take_a_section_of_ours() -> None:
    assert {name for name in sections() if name not in families.tables()} | {"tools"} == families.RESERVED


def test_every_setting_is_written_unless_it_is_none() -> None:
    written = tomllib.loads(Settings().to_toml())
    assert {"run", "tools.fsl", "synthal"} <= set(sections())
    for name, section in sections().items():
        table = written
        for part in name.split("."):
            table = table[part]
        assert set(table) == {key.name for key in fields(section) if getattr(section, key.name) is not None}


def test_every_setting_stands_in_the_usage_guide() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
    table = guide.split("## Settings file")[1].split("## Exit codes")[0]
    for name, section in sections().items():
        assert f"`{name}`" in table
        for key in fields(section):
            assert f"`{key.name}`" in table, key.name
    example = table.split("```toml\n")[1].split("```")[0]
    assert load(None, tomllib.loads(example)).methods.extra_ensembles == ("intersection", "staple")


def test_the_paper_is_a_preset_that_a_file_and_options_win_over(tmp_path: Path) -> None:
    paper = load(preset="paper")
    assert paper.registration.choice == "every" and paper.registration.rule == "paper"
    assert paper.of(DbSegmentSettings).mode == "paper" and not paper.of(MindGlideSettings).reorient
    assert paper.methods.names == ("freesurfer", "first", "dbsegment", "mindglide")
    config = tmp_path / "own.toml"
    config.write_text("[registration]\nbins = 32\n[group]\nstrict = false\n")
    mixed = load(config, {"methods": {"names": ["synthal"]}}, "paper")
    assert mixed.registration.bins == 32 and mixed.registration.choice == "every"
    assert mixed.methods.names == ("synthal",) and not mixed.group.strict and mixed.group.sample == "common"
    with pytest.raises(UsageError, match="unknown preset 'papre'") as error:
        load(preset="papre")
    assert "paper" in str(error.value)


def test_every_choice_of_the_paper_is_explained() -> None:
    text = presets()["paper"].read_text(encoding="utf-8")
    told = (Path(__file__).resolve().parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
    for section, values in tomllib.loads(text).items():
        for key, value in values.items():
            keys = value if isinstance(value, dict) else {key: value}
            assert all(f"`{name}`" in told for name in keys), (section, key)
