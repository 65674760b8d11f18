"""The volumes of every session as a frame, and the table ``group_volumes``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import METHOD, REASON, STATUS
from thalbids.reports.group.figures import descriptive, look
from thalbids.reports.group.group_data import Tables, interval, methods_in, number, rows_of
from thalbids.reports.group.section import PageTable, Section, per_group, unions

if TYPE_CHECKING:
    pass


NEARLY = 0.9  # of the people of another method: medians are compared from here on
VOLUMES: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    "image": column("Image segmented", "T1w, FLAIR, R1map, or ensemble of several."),
    "volume_ml": column("Thalamus volume", "Volume of the mask, left and right.", "mL"),
    "volume_left_ml": column("Left thalamus volume", "Volume of the left thalamus.", "mL"),
    "volume_right_ml": column("Right thalamus volume", "Volume of the right thalamus.", "mL"),
    "icv_ml": column("Intracranial volume", "Intracranial volume of the session.", "mL"),
    "icv_source": column("Source of the intracranial volume", "The same for every session of the table."),
    "diagnosis": column("Diagnosis", "Diagnosis group at this session; n/a when unknown."),
    "baseline": column(
        "Baseline",
        "Whether this is the participant's first session (by date, else by label) with a usable volume of any method.",
        Levels={"true": "It is: the session of the cross-sectional analyses", "false": "It is not"},
    ),
    **STATUS,
    **REASON,
    "reference": column(
        "Reference", "The image on whose grid the session was measured: T1w, or what took its place; n/a when unknown."
    ),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_volumes``."""
    counts = Counter(cohort.volumes["status"])
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    note = f"volumes: {len(cohort.volumes)} rows of {len(cohort.methods)} methods ({told or 'none'})."
    choices = {"icv": cohort.settings.group.icv, "harmonise": cohort.settings.group.harmonise}
    keys = ["participant_id", "session_id"]
    known = cohort.visits[[*keys, "diagnosis"]]
    frame = cohort.volumes.merge(known, on=keys, how="left", validate="many_to_one")
    first = pd.MultiIndex.from_frame(baseline(cohort)[keys])
    frame["baseline"] = pd.MultiIndex.from_frame(frame[keys]).isin(first).tolist()
    images = {(place.participant_id, place.session_id): place.reference for place in cohort.places if place.measured}
    frame["reference"] = [images.get(key, "") for key in frame[keys].itertuples(index=False, name=None)]
    return [Table("group_volumes", frame, VOLUMES, choices, [note, *_without_t1w(frame)])]


def _without_t1w(volumes: pd.DataFrame) -> list[str]:
    """How many sessions have no T1w, and what they were measured on; nothing where all have one, or none is known."""
    if "reference" not in volumes:
        return []
    references = volumes.drop_duplicates(["participant_id", "session_id"])["reference"]
    other = Counter(str(name) for name in references if isinstance(name, str) and name not in ("", "T1w"))
    if not other:
        return []
    told = ", ".join(f"{count} on {name}" for name, count in sorted(other.items()))
    n = f"{sum(other.values())} of {len(references)}"
    return [f"warning: {n} sessions have no T1w and were measured on another image: {told}."]


def section(tables: Tables) -> Section:
    """Thalamic volumes."""
    section = Section("volumes", "Thalamus volumes")
    section.add(descriptive.volumes(tables))
    if not section.figures:
        section.nothing = "There is no usable volume in group_volumes.tsv."
        return section
    described = rows_of(
        tables.get("descriptives", ("variable", "method", "diagnosis", "median")),
        variable="volume_ml",
        sample="baseline",
    ).dropna(subset=["median", "method"])
    everybody = rows_of(described, diagnosis="all").sort_values("median")
    if len(everybody):
        section.says.append(_medians(everybody, tables))
        header, rows = per_group(
            described, lambda row: f"{number(row['median'])} {interval(row['q1'], row['q3'])}; {number(row['n'], 0)}"
        )
        title = "Median [quartiles] at baseline, mL; n"
        section.tables.append(PageTable(title, header, rows, tables.file("descriptives")))
    section.warnings += [line.removeprefix("warning: ") for line in _without_t1w(tables.get("volumes"))]
    if len(tables.get("harmonised")):
        section.caveats.append("Volumes were harmonised over sites by ComBat before anything was computed from them.")
    section.caveats.append(
        "Each method follows its own definition of the thalamus: volumes of different methods, or protocols, are not "
        "interchangeable and must not be mixed in one analysis."
    )
    section.caveats += unions(methods_in(tables.get("volumes")))
    return section


def _medians(everybody: pd.DataFrame, tables: Tables) -> str:
    """The smallest and the largest median, of the methods that nearly the same people have: those whom most have."""
    volumes = rows_of(tables.get("volumes", ("participant_id", "method", "status", "baseline")), status="ok")
    measured = volumes[volumes["baseline"].astype(str) == "true"].groupby("method")["participant_id"]
    people = {method: set(measured.get_group(method)) for method in everybody["method"] if method in measured.groups}
    most = max(people.values(), key=len, default=set())
    nearly = [len(people.get(method, most) & most) >= NEARLY * len(most) for method in everybody["method"]]
    same = everybody[nearly]
    low, high = same.iloc[0], same.iloc[-1]
    text = f"The median volume at baseline is {_median_of(low)}"
    if len(same) > 1:
        text += f", the smallest, and {_median_of(high)}, the largest"
    fewer = len(everybody) - len(same)
    methods = "1 method that fewer people have is" if fewer == 1 else f"{fewer} methods that fewer people have are"
    return f"{text}; {methods} not compared with {'it' if len(same) == 1 else 'them'}." if fewer else f"{text}."


def _median_of(row: pd.Series) -> str:
    return f"{number(row['median'])} mL by {look.label(row['method'])} (n = {number(row['n'], 0)})"


ANALYSIS = Analysis("volumes", tables, sections={"volumes": section}, told=("volumes", "harmonised"))
