"""Who was measured, their volumes, and their change (the paper's Fig. S1, S2 and 5, and the PBVC)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.tabular.counting import natural
from thalbids.reports.group.figures import look, marks
from thalbids.reports.group.figures.canvas import SMALL, Figure, Panel
from thalbids.reports.group.group_data import (
    Tables,
    by_keys,
    in_order,
    interval,
    listed,
    methods_in,
    number,
    rows_of,
    values,
)

if TYPE_CHECKING:
    import pandas as pd

DIAGNOSES = ("HC", "RRMS", "PMS", "isolated", "NMOSD", "MOGAD")


def diagnoses_in(table: pd.DataFrame) -> list[str]:
    """The diagnoses of a table in the paper's order, without the sum of all."""
    if "diagnosis" not in table.columns:
        return []
    return in_order((name for name in table["diagnosis"].dropna().unique() if name != "all"), DIAGNOSES)


def groups_of(table: pd.DataFrame) -> list[str]:
    """The columns of a table by diagnosis: ``all`` where it has such rows, then the diagnoses; ``unknown`` is none
    where that is everybody.
    """
    names = diagnoses_in(table)
    if "diagnosis" not in table.columns or not (table["diagnosis"] == "all").any():
        return names
    return ["all", *([] if names == ["unknown"] else names)]


def first_sessions(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each participant's baseline, as group_volumes marks it; without marks, of the first label."""
    keys = ["participant_id", "session_id"]
    if "session_id" not in table.columns:
        return table
    known = tables.get("volumes", (*keys, "baseline"))
    known = known[known["baseline"].astype(str) == "true"]
    if len(known):
        return table.merge(known[keys].drop_duplicates(), on=keys)
    order = sorted(range(len(table)), key=lambda row: natural(table["session_id"].iloc[row]))
    return table.iloc[order].drop_duplicates(["participant_id", "method"])


def volumes(tables: Tables) -> Figure | None:
    """Per method: thalamic volume by diagnosis; one panel for all methods where no diagnosis is known."""
    table = rows_of(tables.get("volumes", ("participant_id", "method", "volume_ml")), status="ok")
    table = first_sessions(tables, table.dropna(subset=["volume_ml"]))
    if table.empty:
        return None
    groups, methods = diagnoses_in(table), methods_in(table)
    manual = _manual(tables)
    if len(groups) < 2:
        panels = [
            *manual,
            _boxes(
                "Thalamus volume",
                [(look.label(m), table[table["method"] == m], look.colour(m)) for m in methods],
                "volume_ml",
                "Volume (mL)",
            ),
        ]
    else:
        parts, none = by_keys(table, "method", "diagnosis"), table.iloc[:0]
        of_method = {m: [(g, parts.get((m, g), none)) for g in groups] for m in methods}
        panels = [
            _boxes(
                look.short(look.label(m)),
                [(f"{g} (n = {len(part)})", part, look.colour(m)) for g, part in rows],
                "volume_ml",
                "Volume (mL)",
            )
            for m, rows in of_method.items()
        ]
        panels = [*manual, *panels]
    intro = (
        "First session of each participant, or that of the manual mask. "
        "Compare groups within a panel, not volumes across panels: the methods "
        "follow different definitions of the thalamus. Unadjusted for age, sex and head size."
    )
    return Figure("volumes", "Thalamus volumes", intro, panels, tables.file("volumes"), 3)


def _manual(tables: Tables) -> list[Panel]:
    """The volumes of each rater's masks by diagnosis, of the earliest mask of a person."""
    needs = ("participant_id", "session_id", "rater", "volume_rater_ml")
    drawn = rows_of(tables.get("overlap", needs), status="ok").dropna(subset=["volume_rater_ml"])
    drawn = drawn.drop_duplicates(["participant_id", "rater"])
    if drawn.empty:
        return []
    keys = ["participant_id", "session_id"]
    known = tables.get("people", (*keys, "diagnosis"))[[*keys, "diagnosis"]]
    drawn = drawn.drop(columns="diagnosis", errors="ignore").merge(known, on=keys, how="left")
    boxes = []
    for rater in dict.fromkeys(drawn["rater"]):
        of_rater = drawn[drawn["rater"] == rater]
        parts = {"all": of_rater, **{group: rows_of(of_rater, diagnosis=group) for group in diagnoses_in(of_rater)}}
        parts = parts if len(parts) > 2 else {"all": of_rater}
        rows = [(f"{name} (n = {len(part)})", part, look.QUIET) for name, part in parts.items()]
        title = "Manual" if drawn["rater"].nunique() == 1 else f"Manual: {rater}"
        boxes.append(_boxes(title, rows, "volume_rater_ml", "Volume (mL)"))
    return boxes


def change(tables: Tables) -> Figure | None:
    """Fig. 5: change in percent of baseline by method, for all and by diagnosis."""
    table = tables.get("change", ("participant_id", "method", "delta_percent")).dropna(subset=["delta_percent"])
    if table.empty:
        return None
    methods = methods_in(table)

    low, high = table["delta_percent"].min(), table["delta_percent"].max()
    ends = (low - 0.05 * (high - low), high + 0.05 * (high - low)) if high > low else None  # the same in every panel

    def panel(title: str, of_group: pd.DataFrame) -> Panel:
        rows = [(look.label(m), of_group[of_group["method"] == m], look.colour(m)) for m in methods]
        return _boxes(title, rows, "delta_percent", "Change (% of baseline)", 0.0, ends)

    people = "participant_id"
    panels = [panel(f"All (n = {table[people].nunique()})", table)]
    for group in diagnoses_in(table):
        of_group = table[table["diagnosis"] == group]
        panels.append(panel(f"{group} (n = {of_group[people].nunique()})", of_group))
    intro = (
        "Change between the two visits in percent of the first; negative is loss. Groups are shown as they are, "
        "without a test between them: some are small. Not adjusted for the interval between visits."
    )
    doubtful = int((table["comparable"] == "no").sum()) if "comparable" in table.columns else 0
    if doubtful:
        intro += f" {doubtful} of {len(table)} changes are of visits that cannot be compared; they are drawn too."
    return Figure("change", "Change of thalamic volume", intro, panels, tables.file("change"), 2)


def pbvc(tables: Tables) -> list[Figure]:
    """The correlation with the whole brain's change per method, and the clouds behind it where they are known."""
    table = tables.get("pbvc", ("method", "r", "ci_low", "ci_high"))
    panels = []
    if len(table):
        rows, said = [], []
        for method in methods_in(table):
            row = table[table["method"] == method].iloc[0]
            p = row.get("p_fdr", np.nan)
            rows.append(
                marks.Dot(
                    look.label(method),
                    row["r"],
                    row["ci_low"],
                    row["ci_high"],
                    look.colour(method),
                    look.marker(method),
                    bool(np.isfinite(p) and p < 0.05),
                )
            )
            said.append(f"{look.label(method)} {number(row['r'])} {interval(row['ci_low'], row['ci_high'])}")
        draw = partial(marks.dots, rows=rows, xlabel="Pearson r with PBVC")
        panel = Panel(
            "Correlation with PBVC", f"Correlations: {listed(said, 12)}.", draw, height=marks.height(len(rows))
        )
        intro = (
            "Pearson r of thalamic change (%) with SIENA's percentage brain volume change, 95 % interval. Filled "
            "with a dot: corrected p < 0.05."
        )
        panels.append(Figure("pbvc", "Thalamic change and whole-brain change", intro, [panel], tables.file("pbvc"), 1))
    cloud = _pbvc_clouds(tables, table)
    return [*panels, cloud] if cloud is not None else panels


def _pbvc_clouds(tables: Tables, estimates: pd.DataFrame) -> Figure | None:
    keys = ["participant_id", "session_id_baseline", "session_id_followup"]
    brain = tables.get("wholebrain", (*keys, "pbvc"))[[*keys, "pbvc"]].drop_duplicates(keys)
    needed = [*keys, "method", "delta_percent"]
    changes = tables.get("change", needed)[needed]
    if brain.empty or changes.empty:
        return None
    table = changes.merge(brain, on=keys)
    table = table.dropna(subset=["delta_percent", "pbvc"])
    panels = []
    for method in methods_in(table):
        rows, known = table[table["method"] == method], estimates[estimates["method"] == method]
        words = (
            f"r {number(known.iloc[0]['r'])} {interval(known.iloc[0]['ci_low'], known.iloc[0]['ci_high'])}"
            if len(known)
            else ""
        )

        draw = partial(_pbvc_cloud, rows=rows, words=words, method=method)
        alt = f"{look.label(method)}: thalamic change over PBVC, n = {len(rows)}. {words}."
        panels.append(Panel(look.short(look.label(method)), alt, draw, SMALL, 2.8))
    if not panels:
        return None
    intro = "One point per participant, with the least-squares line."
    return Figure("pbvc_scatter", "Thalamic change over PBVC", intro, panels, tables.file("wholebrain"), 4)


def _pbvc_cloud(axes: Any, rows: pd.DataFrame, words: str, method: str) -> None:
    x, y = rows["pbvc"].to_numpy(), rows["delta_percent"].to_numpy()
    marks.cloud(axes, x, y, method)
    marks.fitted(axes, x, y)
    axes.set(xlabel="PBVC (%)", ylabel="Thalamic change (%)")
    if words:
        marks.note(axes, words)


def normative(tables: Tables) -> Figure | None:
    """Per method: how many standard deviations a volume lies from that of a control of the same kind."""
    table = tables.get("normative", ("participant_id", "method", "z", "diagnosis")).dropna(subset=["z"])
    table = first_sessions(tables, table)
    panels = []
    for method in methods_in(table):
        of_method = table[table["method"] == method]
        parts = by_keys(of_method, "diagnosis")
        coloured = [
            (f"{g} (n = {len(parts[(g,)])})", parts[(g,)], look.colour(method)) for g in diagnoses_in(of_method)
        ]
        panels.append(_boxes(look.short(look.label(method)), coloured, "z", "z against the controls", 0.0))
    if not panels:
        return None
    intro = "First sessions. 0: as expected of a control of this age, sex and intracranial volume; -2: two SDs smaller."
    return Figure("normative", "Against the controls", intro, panels, tables.file("normative"), 3)


def sample_size(tables: Tables) -> Figure | None:
    """People per arm of a trial with this method's change as endpoint."""
    table = tables.get("samplesize", ("method", "power", "effect", "n_per_arm", "ci_low", "ci_high"))
    if "population" in table.columns and len(table):
        table = rows_of(table, population=table["population"].iloc[0])
    if not table["n_per_arm"].notna().any():
        return None
    relative = "no change"
    if "relative_to" in table.columns and len(table):
        against = table[table["relative_to"] == "controls"]
        relative = "controls" if against["n_per_arm"].notna().any() else "no change"
        table = table[table["relative_to"] == relative]
    panels = []
    for power, effect in dict.fromkeys(zip(table["power"], table["effect"], strict=True)):
        of_effect = table[(table["power"] == power) & (table["effect"] == effect)]
        rows = []
        for method in methods_in(of_effect):
            row = of_effect[of_effect["method"] == method].iloc[0].to_dict()
            sizes = row["n_per_arm"], row["ci_low"], row["ci_high"]
            rows.append(
                marks.Dot(look.label(method), *sizes, look.colour(method), look.marker(method), True, _sized(row))
            )
        said = listed([f"{row.name} {number(row.value, 0)}" for row in rows if np.isfinite(row.value)], 12)
        percent = [number(100 * v if v <= 1 else v, 0) for v in (effect, power)]
        title = f"Effect {percent[0]} %, power {percent[1]} %"
        draw = partial(marks.dots, rows=rows, xlabel="People per arm (log scale)", reference=None, log=True)
        panels.append(Panel(title, f"{title}: {said}.", draw, height=marks.height(len(rows))))
    if not panels:
        return None
    what = "loss beyond the controls'" if relative == "controls" else "whole loss, as there are too few controls"
    intro = (
        f"Two-sided 5 %; bootstrap intervals; the effect is a share of the {what}. Fewer is better, and only if the "
        "method measures the same thing."
    )
    return Figure("samplesize", "Sample size of a trial", intro, panels, tables.file("samplesize"), 2)


def _sized(row: dict[str, Any]) -> str:
    """The number beside a dot; why there is none in place of it."""
    reason = row.get("reason")
    if not np.isfinite(row["n_per_arm"]):
        return reason if isinstance(reason, str) else ""
    return number(row["n_per_arm"], 0)


def _boxes(
    title: str,
    rows: list[tuple[str, pd.DataFrame, str]],
    column: str,
    xlabel: str,
    reference: float | None = None,
    ends: tuple[float, float] | None = None,
) -> Panel:
    boxes = [marks.BoxPlotRow(name, values(table, column), colour) for name, table, colour in rows]
    boxes = [row for row in boxes if row.values.size]
    said = listed([f"{row.name} {number(float(np.median(row.values)))}" for row in boxes], 12)
    draw = partial(marks.boxes, rows=boxes, xlabel=xlabel, reference=reference, ends=ends)
    return Panel(title, f"{title}, medians: {said}.", draw, height=marks.height(len(boxes)))
