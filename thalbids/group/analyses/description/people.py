"""Everything about a person at a visit in one row, for R, SPSS, JASP or pandas: ``group_people``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from thalbids.bids.results import names
from thalbids.bids.results.names import mask_of
from thalbids.bids.tabular.own import OUTCOMES, VISIT_COLUMNS
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, count
from thalbids.group.analyses.over_time import comparability
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import STATUS
from thalbids.group.comparability import excluded
from thalbids.group.modelling.registered import by_registration

_KEYS = ["participant_id", "session_id"]
ACQUIRED = (
    "scanner", "field_strength_t", "voxel_x_mm", "voxel_y_mm", "voxel_z_mm", "slice_thickness_mm", "contrast_agent",
    "flags",
)  # fmt: skip
_REGISTERED = ("_change_ml", "_change_percent", "_status")  # columns of a change by registration
_YES = {"true": "It is", "false": "It is not"}

PEOPLE: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "visit": count("Visit", "Counts the visits of the person from 0, by date where all are dated, else by label."),
    "baseline": column("Baseline", "Whether this is the person's first session with a usable volume.", Levels=_YES),
    "has_mri": column("MRI", "Whether the session has a usable volume of any method.", Levels=_YES),
    "years_since_baseline": column("Time since the baseline", "Days / 365.25; n/a without both dates.", "year"),
    "site": column("Site", "Scanner or centre, as the clinical tables say."),
    "diagnosis": column("Diagnosis group", "As in all tables; n/a when unknown."),
    "diagnosis_given": column("Diagnosis", "The word of the clinical table."),
    "age": column("Age", "At the visit.", "year"),
    "sex": column("Sex", "F, M or O."),
    "disease_duration": column("Disease duration", "Since the first symptoms, at the visit.", "year"),
    "edss": column("EDSS", "Expanded Disability Status Scale at the visit."),
    "t25fw": column("T25FW", "Timed 25-foot walk, mean of the trials.", "s"),
    "t25fw_trials": count("Trials of the T25FW", "How many trials are behind the mean."),
    "nhpt": column("9-HPT", "Nine-hole peg test, mean of the trials.", "s"),
    "nhpt_trials": count("Trials of the 9-HPT", "How many trials are behind the mean."),
    "sdmt": column("SDMT", "Symbol digit modalities test, correct answers."),
    "steroid": count("Steroids", "1: treated with corticosteroids since the visit before; 0: not."),
    **{
        f"d_{name}": column(f"Change of {name}", f"{name} at this visit minus {name} at the baseline; n/a there.")
        for name in OUTCOMES
    },
    "icv_ml": column("Intracranial volume", "Of the session, from one source for everybody.", "mL"),
    "icv_source": column("Source of the intracranial volume", "The same for every session."),
    "pbvc": column(
        "PBVC", "Change of the whole brain from the baseline to this session, where it is known.", "percent"
    ),
    "attacks": count("Attacks", "Number of attacks until the visit."),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_people``: a row per visit, four volumes and two changes per method as columns, changes by
    registration last.
    """
    visits = cohort.visits
    extra = [name for name in visits.columns if name not in VISIT_COLUMNS and name not in PEOPLE]
    frame = visits[[name for name in PEOPLE if name in visits.columns and name != "icv_ml"] + extra].copy()
    start = baseline(cohort).set_index("participant_id")
    frame["visit"] = visits["order"]
    first = frame["participant_id"].map(start["session_id"])
    frame["baseline"] = (first == frame["session_id"]).tolist()
    frame["has_mri"] = visits["has_mri"].tolist()
    years = visits["years"] - frame["participant_id"].map(start["years"])
    later = (visits["order"] > frame["participant_id"].map(start["order"])).to_numpy()
    frame["years_since_baseline"] = years
    for name in OUTCOMES:
        frame[f"d_{name}"] = (visits[name] - frame["participant_id"].map(start[name])).where(later)
    frame = frame.merge(cohort.volumes[[*_KEYS, "icv_ml", "icv_source"]].drop_duplicates(_KEYS), on=_KEYS, how="left")
    frame["pbvc"] = _pbvc(cohort, frame, first)
    ends = {"session_id_baseline": first.to_numpy(), "session_id_followup": frame["session_id"]}
    taken = later & (excluded(cohort, frame[["participant_id"]].assign(**ends)) == "").to_numpy()
    per_method = [_volumes(cohort, frame, first, taken, method) for method in cohort.methods]
    moved = by_registration(cohort)
    registered = () if moved is None else moved.methods
    for method in registered:
        columns_of = _volumes(moved or cohort, frame, first, taken, method)
        per_method.append(columns_of[[name for name in columns_of if name.removeprefix(method) in _REGISTERED]])
    acquired, told = _acquired(cohort, frame)
    columns = PEOPLE | {name: _extra(name) for name in extra} | _described(cohort.methods) | told
    columns |= _described_changes(registered)
    table = pd.concat([frame, *per_method, acquired], axis="columns").reindex(columns=list(columns))
    choices = {"change": "this session minus the baseline session", "icv": cohort.settings.group.icv}
    return [Table("group_people", table, columns, choices)]


def _volumes(cohort: Cohort, frame: pd.DataFrame, first: pd.Series, taken: np.ndarray, method: str) -> pd.DataFrame:
    """The columns of one method: volumes where they may be used, and where ``taken`` the change since the baseline."""
    of_method = cohort.volumes[cohort.volumes["method"] == method].set_index(_KEYS)
    here = of_method.reindex(pd.MultiIndex.from_frame(frame[_KEYS]))
    start = of_method.reindex(pd.MultiIndex.from_arrays([frame["participant_id"], first.to_numpy()]))
    usable, began = ((rows["status"] == "ok").to_numpy() for rows in (here, start))
    columns = {
        f"{method}_{word}": np.where(usable, here[name].to_numpy(dtype=np.float64), np.nan)
        for word, name in (("ml", "volume_ml"), ("left_ml", "volume_left_ml"), ("right_ml", "volume_right_ml"))
    }
    before = np.where(began & taken, start["volume_ml"].to_numpy(dtype=np.float64), np.nan)
    change = columns[f"{method}_ml"] - before
    percent = 100 * change / np.where(before > 0, before, np.nan)
    columns |= {f"{method}_change_ml": change, f"{method}_change_percent": percent}
    status = pd.Series(here["status"].to_numpy(dtype=object)).fillna("")
    return pd.DataFrame({**columns, f"{method}_status": status})


def _pbvc(cohort: Cohort, frame: pd.DataFrame, first: pd.Series) -> np.ndarray:
    keys = ["participant_id", "session_id_baseline", "session_id_followup"]
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"].drop_duplicates(keys).set_index(keys)["pbvc"]
    wanted = pd.MultiIndex.from_arrays([frame["participant_id"], first.to_numpy(), frame["session_id"]])
    return known.reindex(wanted).to_numpy(dtype=np.float64)


def _described(methods: Sequence[str]) -> dict[str, Column]:
    known = {item.desc: item.description for item in names.methods()}
    described: dict[str, Column] = {}
    for method in methods:
        what = known.get(method, method)
        described |= {
            f"{method}_ml": column(f"Volume, {method}", f"Left and right thalamus by {what}; n/a unless ok.", "mL"),
            f"{method}_left_ml": column(f"Left volume, {method}", f"Left thalamus by {what}.", "mL"),
            f"{method}_right_ml": column(f"Right volume, {method}", f"Right thalamus by {what}.", "mL"),
            f"{method}_change_ml": column(f"Change, {method}", "This session minus the baseline session.", "mL"),
            f"{method}_change_percent": column(
                f"Change in percent, {method}", "100 (this session - baseline) / baseline.", "percent"
            ),
            f"{method}_status": STATUS["status"] | {"LongName": f"Status, {method}"},
        }
    return described


def _described_changes(methods: Sequence[str]) -> dict[str, Column]:
    """The columns of changes by registration."""
    described: dict[str, Column] = {}
    for method in methods:
        what = f"By registration with the baseline session, at the border of the mask of {mask_of(method)}"
        described |= {
            f"{method}_change_ml": column(f"Change, {method}", f"{what}, times the volume at the baseline.", "mL"),
            f"{method}_change_percent": column(f"Change in percent, {method}", f"{what}.", "percent"),
            f"{method}_status": STATUS["status"] | {"LongName": f"Status, {method}"},
        }
    return described


def _acquired(cohort: Cohort, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Column]]:
    """How each image of the visit was acquired, in columns ``IMAGE_NAME``, and what they are."""
    rows = pd.DataFrame(comparability.acquisitions(cohort), columns=list(comparability.ACQUISITION))
    here = pd.MultiIndex.from_frame(frame[_KEYS])
    columns: dict[str, np.ndarray] = {}
    told: dict[str, Column] = {}
    for image in dict.fromkeys(rows["image"]):
        of_image = rows[rows["image"] == image].drop_duplicates(_KEYS).set_index(_KEYS).reindex(here)
        for name in ACQUIRED:
            known = comparability.ACQUISITION[name]
            columns[f"{image}_{name}"] = of_image[name].to_numpy()
            told[f"{image}_{name}"] = {**known, "LongName": f"{known['LongName']}, {image}"}
    return pd.DataFrame(columns, index=frame.index), told


def _extra(name: str) -> Column:
    return column(name, "Column of the clinical tables that the settings name.")


ANALYSIS = Analysis("people", tables, told=("people",))
