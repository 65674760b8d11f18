"""Whole-brain change between the sessions of one participant: SIENA's steps, or values that already exist."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from thalbids.bids.dictionaries import SIENA_COLUMNS, SIENA_MORPH
from thalbids.bids.outputs import read_json, sidecar, uri, write_json, write_table
from thalbids.bids.pbvc import read_given
from thalbids.engine.step import Done, Step, StepResult, recorded_as
from thalbids.errors import ImageError, MetadataError, ThalbidsError
from thalbids.methods.tools import told
from thalbids.settings import Settings
from thalbids.tools import fsl, siena
from thalbids.types import tool_entry

if TYPE_CHECKING:
    from thalbids.participant.plan import SessionPlan


def check(settings: Settings) -> str:
    """What will be done about whole-brain change, in a sentence; to be called before a run.

    Raises
    ------
    UsageError, MissingToolError
        A table and a folder are both given; SIENA is asked for and not installed; a given table cannot be read.
    """
    own, program = settings.siena, settings.tools.fsl
    if own.table is not None:
        read_given(own.table)
        return "whole-brain change: read from the given table"
    if own.directory is not None:
        if not own.directory.is_dir():
            raise MetadataError("The folder of SIENA results is not there.", "Check [siena] directory.", own.directory)
        return "whole-brain change: read from existing SIENA results"
    if own.run == "no":
        return "whole-brain change: not wanted"
    siena.command(program.siena_options)
    if own.run == "yes":
        fsl.required("siena", program)
    elif fsl.missing("siena", program) is not None:
        return "whole-brain change: not measured, FSL's SIENA is not installed"
    return "whole-brain change: by FSL's SIENA, for participants with two sessions or more"


def source_of(settings: Settings) -> str | None:
    """``table``, ``directory`` or ``siena``; None when there is nothing to do."""
    if settings.siena.table is not None:
        return "table"
    if settings.siena.directory is not None:
        return "directory"
    if settings.siena.run == "no":
        return None
    if settings.siena.run == "auto" and fsl.missing("siena", settings.tools.fsl) is not None:
        return None
    return "siena"


def pairs_of(sessions: Sequence[str], which: str) -> list[tuple[str, str]]:
    """Pairs of session labels, in the order of the sessions.

    Examples
    --------
    >>> pairs_of(["1", "2", "3"], "first-last")
    [('1', '3')]
    >>> pairs_of(["1", "2", "3"], "both")
    [('1', '3'), ('1', '2'), ('2', '3')]
    """
    if len(sessions) < 2:
        return []
    found = [(sessions[0], sessions[-1])] if which in ("first-last", "both") else []
    if which in ("consecutive", "both"):
        found += list(itertools.pairwise(sessions))
    return list(dict.fromkeys(found))


def plan_siena(subject: str, own: Sequence[SessionPlan], settings: Settings, asked: Collection[str]) -> list[Step]:
    """The steps of one participant: one for each pair, and the table of all pairs.

    Parameters
    ----------
    own : the plans of the participant's sessions, in order
    asked : names of the sessions that this run processes; the T1w of the others is there from an earlier run
    """
    source = source_of(settings)
    usable = [made for made in own if made.session.session is not None and "T1w" in made.images]
    labels = {str(made.session.session): made for made in usable}
    pairs = pairs_of(list(labels), settings.siena.pairs)
    touched = [made.session.name for made in usable if made.session.name in asked]
    if source is None or not pairs or not touched:
        return []
    folder = PurePosixPath(f"sub-{subject}") / "anat"
    steps: list[Step] = []
    planned = {}
    for first, second in pairs if source == "siena" else ():
        baseline, followup = labels[first], labels[second]
        name = f"sub-{subject} siena ses-{first} to ses-{second}"
        path = baseline.out_dir / folder / f"sub-{subject}_from-{first}_to-{second}_desc-siena_qc.json"
        planned[first, second] = (name, path)
        steps.append(
            Step(
                name,
                touched[-1],
                siena_pair,
                inputs={
                    "baseline": baseline.t1w,
                    "followup": followup.t1w,
                    "baseline sidecar": sidecar(baseline.t1w),
                    "followup sidecar": sidecar(followup.t1w),
                },
                outputs={"qc": path},
                params={
                    "Options": told(settings.tools.fsl.siena_options),
                    "Software": [tool_entry(fsl.version("siena", settings.tools.fsl))],
                    "Sources": [baseline.t1w_uri, followup.t1w_uri],
                    "Pair": [f"ses-{first}", f"ses-{second}"],
                },
                needs=tuple(made.images["T1w"] for made in (baseline, followup) if made.session.name in asked),
                memory_gb=2.0,
                record=path,
                machine=settings,
            )
        )
    out_dir = usable[0].out_dir
    inputs: dict[str, Path | None] = {f"{a} {b}": path for (a, b), (_, path) in planned.items()}
    if source == "table":
        inputs["table"] = settings.siena.table
    for first, second in pairs if source == "directory" else ():
        inputs[f"{first} {second}"] = report_in(settings.siena.directory, subject, first, second)
    steps.append(
        Step(
            f"sub-{subject} siena",
            touched[-1],
            siena_table,
            inputs=inputs,
            outputs={"table": out_dir / folder / f"sub-{subject}_desc-siena_morph.tsv"},
            params={
                "Subject": subject,
                "Source": source,
                "Pairs": [list(pair) for pair in pairs],
                "Steps": {f"{a} {b}": name for (a, b), (name, _) in planned.items()},
                "Sources": [uri(path.relative_to(out_dir).as_posix()) for _, path in planned.values()],
                "Dictionary": SIENA_MORPH,
            },
            after=tuple(name for name, _ in planned.values()),
        )
    )
    return steps


@recorded_as("thalbids.pipeline.siena.siena_pair")
def siena_pair(
    inputs: Mapping[str, Path | None], outputs: Mapping[str, Path], params: Mapping[str, Any],
    upstream: Mapping[str, StepResult],
) -> Done:  # fmt: skip
    """SIENA between two sessions; its QC file holds the result."""
    del upstream
    scans = {}
    for role in ("baseline", "followup"):
        path = inputs[role]
        assert path is not None
        if read_json(sidecar(path)).get("SkullStripped"):
            raise ImageError("SIENA needs the skull, and this T1w image is skull-stripped.", "", path)
        scans[role] = path
    with tempfile.TemporaryDirectory(prefix="thalbids-siena-", dir=params["Machine"].run.work_dir) as folder:
        result = siena.run(scans["baseline"], scans["followup"], Path(folder), params["Machine"].tools.fsl)
    write_json(
        outputs["qc"], result.to_json() | {key: params[key] for key in ("Pair", "Options", "Software", "Sources")}
    )
    return Done()


@recorded_as("thalbids.pipeline.siena.siena_table")
def siena_table(
    inputs: Mapping[str, Path | None], outputs: Mapping[str, Path], params: Mapping[str, Any],
    upstream: Mapping[str, StepResult],
) -> Done:  # fmt: skip
    """The table of all pairs of a participant, whatever became of them."""
    rows = []
    for first, second in params["Pairs"]:
        pair = f"{first} {second}"
        row = {
            "session_id_baseline": f"ses-{first}",
            "session_id_followup": f"ses-{second}",
            "source": params["Source"],
        }
        path = inputs.get("table" if params["Source"] == "table" else pair)
        try:
            if params["Source"] == "table":
                assert path is not None
                row |= given_row(path, params["Subject"], first, second)
            elif params["Source"] == "directory":
                if path is None:
                    raise siena.SienaError(
                        f"There is no SIENA result, or there are several, for ses-{first} to ses-{second}."
                    )
                row |= judged(siena.read(path.parent).to_json())
            else:
                row |= made_row(upstream[params["Steps"][pair]], path)
        except ThalbidsError as error:
            row |= {"status": "failed", "reason": error.problem}
        rows.append(row)
    write_table(outputs["table"], rows, SIENA_COLUMNS)
    return Done({"table": params["Dictionary"]})


def made_row(result: StepResult, path: Path | None) -> dict[str, Any]:
    """A pair that SIENA was run on."""
    if not result.usable:
        return {"status": "failed", "reason": result.reason}
    assert path is not None
    return judged(read_json(path))


def judged(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result that failed a check is excluded, and keeps its number."""
    faults = list(result["Faults"])
    return {
        "pbvc": result["Pbvc"],
        "status": "excluded" if faults else "ok",
        "reason": "; ".join([*faults, *result["Warnings"]]) or None,
    }


def given_row(table: Path, subject: str, first: str, second: str) -> dict[str, Any]:
    """A pair of a given table."""
    given = read_given(table).get((f"sub-{subject}", f"ses-{first}", f"ses-{second}"))
    if given is None:
        return {"status": "missing", "reason": "not in the given table"}
    value = {} if math.isnan(given.pbvc) else {"pbvc": given.pbvc}
    return {**value, "status": given.status, **({"reason": given.reason} if given.reason else {})}


def report_in(directory: Path | None, subject: str, first: str, second: str) -> Path | None:
    """The report of a pair among existing SIENA results; None when there is none, or several."""
    assert directory is not None
    try:
        return siena.find_results(directory, subject, first, second) / siena.REPORT
    except siena.SienaError:
        return None
