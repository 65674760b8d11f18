"""SIENA between sessions: what it is given, what is read of it, and each way in which it fails. The stand-in's report
follows that of SIENA 2.6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids.results.dictionaries import SIENA_COLUMNS
from thalbids.bids.results.outputs import read_table
from thalbids.engine import engine
from thalbids.engine.log import Reporter
from thalbids.engine.step import Step, StepResult
from thalbids.errors import MetadataError, MissingToolError
from thalbids.participant.plan import plan, steps_of
from thalbids.participant.session import SessionPlan, SubjectPlan, pairs_of
from thalbids.participant.stages.person.siena import add_steps, check
from thalbids.programs import FslSettings
from thalbids.settings import Settings, Siena
from thalbids.tools import siena
from thalbids.types import InputImage, Session

REPORT = """\
-----------------------------------------------------------------------

 SIENA - Structural Image Evaluation, using Normalisation, of Atrophy
 part of FSL www.fmrib.ox.ac.uk/fsl
 running longitudinal atrophy measurement: siena version 2.6
 siena baseline.nii.gz followup.nii.gz -o siena_out

----------  change analysis  ------------------------------------------
corr1=1.0613 corr2=1.0587 corr=1.0600000000

AREA  171225 mm^2
VOLC  -2410.5 mm^3
RATIO -0.0140780 mm
PBVC  {backward} %

AREA  170990 mm^2
VOLC  2360.1 mm^3
RATIO 0.0138 mm
PBVC  {forward} %

finalPBVC {final} %
"""
GOOD = REPORT.format(backward="0.4526", forward="-0.3900", final="-.4213000000")  # dc prints no 0 before the point

STAND_IN = """\
#!/bin/sh
# what SIENA leaves behind, by the folder that holds it
here=$(cd "$(dirname "$0")/.." && pwd)
echo "$@" >> "$here/argv"
case "$1$2" in */*) echo "Image Exception"; exit 0 ;; esac
[ -f "$1" ] && [ -f "$2" ] || exit 0
out=$4
mkdir "$out"
cp "$here/report" "$out/report.siena"
for name in A B; do [ -f "$here/$name.nii.gz" ] && cp "$here/$name.nii.gz" "$out/${name}_brain_mask.nii.gz"; done
. "$here/behaviour"
echo "Estimated percentage brain volume change (PBVC) ="
exit 0
"""
LITRE = np.diag([10.0, 10.0, 10.0, 1.0])  # a voxel is 1 mL


def mask(ml: int) -> nib.Nifti1Image:
    data = np.zeros((20, 20, 20), np.uint8)
    data.flat[:ml] = 1
    return nib.Nifti1Image(data, LITRE)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An FSL with a stand-in for SIENA."""
    root = tmp_path / "fsl"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc" / "fslversion").write_text("6.0.7")
    (root / "report").write_text(GOOD)
    (root / "behaviour").write_text("")
    for name, ml in (("A", 1200), ("B", 1190)):
        nib.save(mask(ml), root / f"{name}.nii.gz")
    (root / "bin" / "siena").write_text(STAND_IN)
    (root / "bin" / "siena").chmod(0o755)
    monkeypatch.setenv("FSLDIR", str(root))
    return root


@pytest.fixture
def no_fsl(monkeypatch, tmp_path):
    monkeypatch.delenv("FSLDIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def session_plans(out_dir: Path, labels: str = "12", stripped: bool = False) -> list[SessionPlan]:
    """Sessions whose reoriented T1w is there."""
    made = []
    for label in labels:
        image = InputImage(out_dir / "raw.nii.gz", "bids:raw:x.nii.gz", "T1w")
        own = SessionPlan(Session("01", label, {"T1w": image}), out_dir, Settings())
        own.t1w.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.full((4, 4, 4), float(label), np.float32), np.eye(4)), own.t1w)
        own.t1w.with_name(own.t1w.name.replace(".nii.gz", ".json")).write_text(json.dumps({"SkullStripped": stripped}))
        own.images["T1w"] = own.step_name("anatomy")
        made.append(own)
    return made


def settings_of(options: tuple[str, ...] = (), minutes: float = 10, **values: Any) -> Settings:
    return Settings(
        siena=Siena(**values), of_methods={"tools.fsl": FslSettings(siena_options=options, timeout_minutes=minutes)}
    )


def checked(settings: Settings) -> str:
    return check(settings.siena, settings.of(FslSettings))


def planned(own: list[SessionPlan], settings: Settings, *asked: str) -> list[Step]:
    subject = SubjectPlan("01", own[0].out_dir, settings, own, set(asked))
    add_steps(subject)
    return subject.steps


def measured(own: list[SessionPlan], settings: Settings) -> tuple[list[dict[str, Any]], list[StepResult], Path]:
    """Rows of the table and ends of the steps, by the engine; the T1w is from an earlier run."""
    out_dir = own[0].out_dir
    steps = planned(own, settings, own[-1].session.name)
    steps = [Step(**{**vars(step), "needs": ()}) for step in steps]
    with Reporter(out_dir, settings="", verbose=0) as reporter:
        results = engine.run(steps, out_dir=out_dir, nprocs=1, mem_gb=4, omp_nthreads=1, versions={}, reporter=reporter)
    table = out_dir / "sub-01/anat/sub-01_desc-siena_morph.tsv"
    return read_table(table), results, table


def test_one_pair_from_command_line_to_table(home, tmp_path):
    own = session_plans(tmp_path / "out")
    rows, results, table = measured(own, settings_of(("-B", "-f 0.3 -B", "-m", "-2", "-S", "-s -i 20", "-V")))
    assert (home / "argv").read_text().strip() == (
        "baseline.nii.gz followup.nii.gz -o siena_out -d -B -f 0.3 -B -m -2 -S -s -i 20 -V"
    )
    assert table.read_text().splitlines()[0].split("\t") == list(SIENA_COLUMNS)
    (row,) = rows
    assert float(row["pbvc"]) == -0.4213
    assert (row["session_id_baseline"], row["session_id_followup"]) == ("ses-1", "ses-2")
    assert (row["source"], row["status"], row["reason"]) == ("siena", "ok", None)
    told = json.loads((table.parent / "sub-01_from-1_to-2_desc-siena_qc.json").read_text())
    assert (
        told["Software"][0]["Name"] == "FSL"
        and told["Software"][0]["Version"] == "6.0.7"
        and told["Calibration"] == 1.06
    )
    np.testing.assert_allclose(told["BrainMl"], [1200, 1190])
    assert (told["Forward"], told["Backward"]) == (-0.39, 0.4526)
    assert str(tmp_path) not in json.dumps(told) + table.read_text()
    assert all(result.usable for result in results)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("rm $out/report.siena", "siena ended without an error but did not write report.siena"),
        ("grep -v finalPBVC $out/report.siena > x; mv x $out/report.siena", "no finalPBVC"),
        ("sed -i 's/^finalPBVC.*/finalPBVC  %/' $out/report.siena", "no finalPBVC"),
        ("sed -i 's/^finalPBVC.*/finalPBVC nan %/' $out/report.siena", "no finalPBVC"),
        ("rm -r $out", "did not write report.siena"),
        ("rm $out/B_brain_mask.nii.gz", "found no brain in the second image"),
        (
            "echo 'FATAL ERROR: no licence' >&2; exit 1",
            "siena failed with exit status 1. Its last lines: FATAL ERROR: no licence",
        ),
        ("kill -9 $$", "killed by SIGKILL"),
    ],
)
def test_a_pair_without_a_number_is_a_failed_row(home, tmp_path, change, reason):
    (home / "behaviour").write_text(change + "\n")
    rows, results, _ = measured(session_plans(tmp_path / "out"), settings_of())
    (row,) = rows
    assert row["status"] == "failed" and row["pbvc"] is None
    assert reason in row["reason"]
    assert [result.status for result in results] == ["failed", "ok"]


def test_an_empty_brain_is_a_failure(home, tmp_path):
    nib.save(mask(0), home / "A.nii.gz")
    rows, _, _ = measured(session_plans(tmp_path / "out"), settings_of())
    assert rows[0]["status"] == "failed" and "brain mask of the first image is empty" in rows[0]["reason"]


def test_the_time_limit(home, tmp_path):
    (home / "behaviour").write_text("sleep 60\n")
    rows, _, _ = measured(session_plans(tmp_path / "out"), settings_of(minutes=0.01))
    assert rows[0]["status"] == "failed" and "siena was stopped at its time limit of 0.01 minutes" in rows[0]["reason"]


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (REPORT.format(backward="12.2", forward="-12.4", final="-12.3"), "-12.3 % is not plausible"),
        (REPORT.format(backward="0.45", forward="-0.39", final="-0.9"), "not the mean of its two directions"),
        (GOOD.replace("corr=1.06", "corr=3.06"), "calibration is 3.06"),
        (GOOD.replace("corr", "xxxx"), "has no calibration"),
        (GOOD.replace("PBVC  -0.3900 %\n", ""), "lacks one of the two directions"),
    ],
)
def test_a_doubtful_number_is_excluded_and_kept(home, tmp_path, report, reason):
    (home / "report").write_text(report)
    rows, results, _ = measured(session_plans(tmp_path / "out"), settings_of())
    assert rows[0]["status"] == "excluded" and reason in rows[0]["reason"]
    assert float(rows[0]["pbvc"]) < 0
    assert all(result.usable for result in results)


@pytest.mark.parametrize(("ml", "reason"), [(300, "300 mL only"), (900, "differ: 900 and 1190 mL")])
def test_brain_masks_that_cannot_be(home, tmp_path, ml, reason):
    nib.save(mask(ml), home / "A.nii.gz")
    rows, _, _ = measured(session_plans(tmp_path / "out"), settings_of())
    assert rows[0]["status"] == "excluded" and reason in rows[0]["reason"]


def test_the_same_image_twice_and_a_stripped_one_are_refused(home, tmp_path):
    own = session_plans(tmp_path / "same")
    own[1].t1w.write_bytes(own[0].t1w.read_bytes())
    rows, _, _ = measured(own, settings_of())
    assert "hold the same values" in rows[0]["reason"]
    rows, _, _ = measured(session_plans(tmp_path / "stripped", stripped=True), settings_of())
    assert "needs the skull" in rows[0]["reason"]
    assert not (home / "argv").exists()


def test_one_failed_pair_leaves_the_others(home, tmp_path):
    (home / "behaviour").write_text('[ $(wc -l < "$here/argv") = 2 ] && rm "$out/report.siena"\n')
    rows, _, _ = measured(session_plans(tmp_path / "out", "123"), settings_of(pairs="both"))
    pairs = [(row["session_id_baseline"], row["session_id_followup"], row["status"]) for row in rows]
    assert pairs == [("ses-1", "ses-3", "ok"), ("ses-1", "ses-2", "failed"), ("ses-2", "ses-3", "ok")]


def test_pairs():
    assert pairs_of(["1"], "both") == pairs_of([], "first-last") == []
    assert pairs_of(["a", "b"], "both") == [("a", "b")]
    assert pairs_of(["1", "2", "3"], "consecutive") == [("1", "2"), ("2", "3")]


def table_of(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["participant_id\tsession_id_baseline\tsession_id_followup\tpbvc", *rows]) + "\n")
    return path


def test_a_given_table(no_fsl, tmp_path):
    rows = ["sub-01\tses-1\tses-2\t-0.51", "02\t1\t2\tn/a", "sub-01\tses-1\tses-3\t42"]
    table = table_of(tmp_path / "pbvc.tsv", rows)
    found, _, _ = measured(session_plans(tmp_path / "out", "123"), settings_of(table=table, pairs="both"))
    assert [(row["pbvc"], row["status"]) for row in found] == [
        ("42.0", "excluded"),
        ("-0.51", "ok"),
        (None, "missing"),
    ]
    assert {row["source"] for row in found} == {"table"}
    assert "given table" in checked(settings_of(table=table))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["sub-01\tses-1\tses-2\tmuch"], "'much' is not a number"),
        (["sub-01\tses-1\tses-2\tinf"], "is not a number"),
        (["sub-01\tses-1\tses-2\t1", "01\t1\t2\t1"], "stands there twice"),
        ([], "not a table of PBVC values"),
    ],
)
def test_a_table_that_cannot_be_read_stops_the_run(tmp_path, rows, problem):
    with pytest.raises(MetadataError, match=problem):
        checked(settings_of(table=table_of(tmp_path / "pbvc.tsv", rows)))


def test_existing_results(no_fsl, tmp_path):
    root = tmp_path / "siena"
    for name in ("sub-01_ses-1_T1w_to_sub-01_ses-2_T1w_siena", "sub-01/ses-2_to_ses-3", "sub-011_ses-1_to_ses-2"):
        (root / name).mkdir(parents=True)
        (root / name / "report.siena").write_text(GOOD)
    settings = settings_of(directory=root, pairs="both")
    rows, _, _ = measured(session_plans(tmp_path / "out", "123"), settings)
    assert [row["status"] for row in rows] == ["failed", "ok", "ok"]
    assert "no SIENA result" in rows[0]["reason"] and rows[1]["source"] == "directory"
    (root / "again" / "sub-01_ses-1_to_ses-2").mkdir(parents=True)
    (root / "again" / "sub-01_ses-1_to_ses-2" / "report.siena").write_text(GOOD)
    with pytest.raises(siena.SienaError, match="several"):
        siena.find_results(root, "01", "1", "2")
    with pytest.raises(MetadataError, match="not there"):
        checked(settings_of(directory=tmp_path / "nowhere"))


def test_without_fsl_nothing_is_planned_and_insisting_stops_with_69(no_fsl, tmp_path):
    own = session_plans(tmp_path / "out")
    assert planned(own, settings_of(), "sub-01_ses-2") == []
    assert "not installed" in checked(settings_of())
    with pytest.raises(MissingToolError):
        checked(settings_of(run="yes"))


def test_a_run_on_one_session_measures_against_the_one_from_before(home, tmp_path):
    own = session_plans(tmp_path / "out")
    assert planned(own[:1], settings_of(), "sub-01_ses-1") == []
    assert planned(own, settings_of(run="no"), "sub-01_ses-2") == []
    first, last = planned(own, settings_of(), "sub-01_ses-2")
    assert first.needs == ("sub-01_ses-2 anatomy",) and last.after == (first.name,)
    sessions = [made.session for made in own]
    names = [step.name for step in steps_of(plan(sessions, tmp_path / "out", [], Settings()))]
    assert names.index("sub-01 siena") < names.index("sub-01 report")
