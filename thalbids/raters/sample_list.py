"""``thalbids select-gt``: from a BIDS dataset with clinical tables to a list of people, its strata and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from thalbids.bids.results.derivatives import find_places
from thalbids.bids.tabular.clinical import read_clinical, visits
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Table, column, count, table, write
from thalbids.errors import NoInputError, UsageError, some
from thalbids.raters.sample import CRITERIA, SAMPLED, SamplingDesign, Selection, select
from thalbids.settings import Clinical

if TYPE_CHECKING:
    import pandas as pd

_T1W = ("_T1w.nii.gz", "_T1w.nii")
_SHOWN = 10


def select_gt(
    bids_dir: Path, out_file: Path, design: SamplingDesign, clinical: Clinical, labels: Sequence[str] = ()
) -> int:
    """Draw the sample and write ``OUT_FILE.tsv``, ``_strata.tsv`` and ``_histograms.svg`` and ``.png``; gives 0.

    Raises
    ------
    UsageError
        The design does not fit the cohort, or the file would lie in the raw dataset.
    NoInputError
        Nobody has a T1w image.
    MetadataError
        A clinical table is damaged or holds impossible values.
    """
    from thalbids.raters.sample_figure import draw

    _check_out_file(bids_dir, out_file)
    selection = select(first_visits(bids_dir, clinical, labels), design)
    stem = out_file.name.removesuffix(".tsv")
    for written in tables(stem, selection, design):
        write(written, out_file.parent)
    figure = out_file.parent / f"{stem}_histograms"
    draw(selection, design, figure.with_suffix(".svg"), figure.with_suffix(".png"))
    print(told(selection, design))
    return 0


def first_visits(bids_dir: Path, clinical: Clinical, labels: Sequence[str]) -> pd.DataFrame:
    """The clinical values of each participant's first session with a T1w image."""
    import pandas as pd

    places = [place for place in find_places(bids_dir, labels) if any(n.endswith(_T1W) for n in place.names)]
    if not places:
        raise NoInputError("nobody has a T1w image.", "Check the dataset and the labels.", bids_dir)
    sessions: dict[str, list[str]] = {}
    for place in places:
        sessions.setdefault(place.participant_id, []).append(place.session_id)
    together = visits(read_clinical(bids_dir, clinical, labels), sessions)
    baseline = [row for row in together.rows if row["session_id"] in sessions.get(row["participant_id"], ())]
    rows = pd.DataFrame(sorted(baseline, key=lambda row: (row["participant_id"], row["order"])))
    rows = rows.drop_duplicates("participant_id")
    numbers = {name: pd.to_numeric(rows[name]) for name in CRITERIA}
    words = rows["diagnosis"].where(rows["diagnosis"] != "")
    return rows[["participant_id", "session_id"]].assign(diagnosis=words, **numbers)


def tables(stem: str, selection: Selection, design: SamplingDesign) -> list[Table]:
    """The list of people and the table of strata."""
    settings: Mapping[str, object] = {**asdict(design), "borders": {k: list(v) for k, v in design.borders.items()}}
    return [
        table(stem, selection.people, PEOPLE, settings=settings),
        table(f"{stem}_strata", selection.strata, STRATA, settings=settings),
    ]


def told(selection: Selection, design: SamplingDesign) -> str:
    """What was drawn, for reading."""
    sampled = sum(row["selected_as"] == SAMPLED for row in selection.people)
    filled = [row for row in selection.strata if row["n_cohort"]]
    start = (
        f"{sampled} of {len(selection.frame)} people ({design.diagnosis or 'any diagnosis'}) drawn with seed "
        f"{design.seed} from {len(filled)} strata that are not empty (age / disease duration / EDSS):"
    )
    lines = [start, *(f"  {row['stratum']:24}{row['n_sample']:4} of {row['n_cohort']}" for row in filled)]
    whole = len(selection.people) - sampled
    if design.include:
        lines.append(f"{whole} people included whole ({', '.join(design.include)}).")
    if selection.left_out:
        people = [f"{entry['participant_id']} ({entry['reason']})" for entry in selection.left_out]
        lines.append(f"{len(selection.left_out)} people could not be drawn: {some(people, _SHOWN)}.")
    return "\n".join(lines)


def _check_out_file(bids_dir: Path, out_file: Path) -> None:
    if not out_file.name.endswith(".tsv") or out_file.name == ".tsv":
        raise UsageError("the list is written as a .tsv file.", "Give a name such as manual_sample.tsv.", out_file)
    root, folder = bids_dir.resolve(), out_file.resolve().parent
    inside = folder.relative_to(root).parts if folder.is_relative_to(root) else ("derivatives",)
    if not inside or inside[0] not in ("derivatives", "sourcedata", "code"):
        problem = "the file would lie in the raw dataset, which is never written to."
        raise UsageError(problem, "Write it elsewhere, or into derivatives/.", out_file)


_DIAGNOSIS = {"diagnosis": column("Diagnosis", "Diagnosis group.")}
_CRITERIA = {
    "age": column("Age", "Age at the first session with a T1w image.", "years"),
    "disease_duration": column("Disease duration", "Years from the first symptom to that session.", "years"),
    "edss": column("EDSS", "Expanded Disability Status Scale at that session."),
}
_STRATUM = {"stratum": column("Stratum", "Groups of age, disease duration and EDSS; a group holds its lower border.")}
PEOPLE: Mapping[str, Mapping[str, object]] = {
    **PARTICIPANT, **SESSION, **_DIAGNOSIS, **_CRITERIA, **_STRATUM,
    "selected_as": column(
        "Why selected", "How the participant came into the list.",
        Levels={"sampled": "Drawn at random from the stratum", "included whole": "Everybody with this diagnosis"},
    ),
}  # fmt: skip
STRATA: Mapping[str, Mapping[str, object]] = {
    **_STRATUM,
    **{
        f"{name}_group": column(f"{text['LongName']} group", "Borders of the group.")
        for name, text in _CRITERIA.items()
    },
    "n_cohort": count("People in the cohort", "People of the stratum who could be drawn."),
    "share_cohort": column("Share of the cohort", "Their share of everybody who could be drawn."),
    "n_sample": count("People in the sample", "People drawn, in proportion (largest remainders)."),
    "share_sample": column("Share of the sample", "Their share of everybody who was drawn."),
}
