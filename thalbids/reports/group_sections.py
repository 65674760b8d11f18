"""The story of the group report: per section what is seen in a sentence, figures, a compact table, and the caveats.

Every number comes from a table of the folder. A section without data says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.group import signs
from thalbids.reports.figures import clinical, cohort, look, overlap, volumetric
from thalbids.reports.figures.canvas import Figure
from thalbids.reports.group_data import (
    Tables,
    in_order,
    interval,
    listed,
    methods_in,
    number,
    p_value,
    rows_of,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 60  # of a table on the page; the file has all


@dataclass(frozen=True)
class Shown:
    """A table on the page, as text, and the file that holds its numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    file: str


@dataclass
class Section:
    """A part of the story; ``nothing`` says why there is none."""

    key: str
    title: str
    says: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Shown] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    nothing: str = ""

    def add(self, *figures: Figure | None) -> None:
        """Figures that could be made."""
        self.figures += [figure for figure in figures if figure is not None]


def story(tables: Tables) -> list[Section]:
    """All sections in the order of the paper."""
    makers: tuple[Callable[[Tables], Section], ...] = (
        people,
        volumes,
        overlaps,
        containment,
        agreement,
        cross_sectional,
        change,
        pbvc,
        longitudinal,
        sensitivity,
        beyond,
    )
    return [make(tables) for make in makers]


def people(tables: Tables) -> Section:
    """Who was measured, and what is missing."""
    section = Section("people", "Who was measured")
    table = tables.get("volumes", ("participant_id", "method"))
    if table.empty:
        section.nothing = "group_volumes.tsv has no rows: no session has a volume yet."
    else:
        persons = table["participant_id"].nunique()
        sessions = len(table[[c for c in ("participant_id", "session_id") if c in table.columns]].drop_duplicates())
        methods = methods_in(table)
        section.says.append(
            f"{_count(persons, 'participant')} with {_count(sessions, 'session')} and "
            f"{_count(len(methods), 'method')}: {listed([look.label(m) for m in methods], 12)}."
        )
        bad = table[table["status"] != "ok"] if "status" in table.columns else table.iloc[0:0]
        if len(bad):
            kinds = bad["status"].value_counts()
            said = listed([f"{n} {kind}" for kind, n in kinds.items()], 6)
            section.warnings.append(
                f"{len(bad)} of {len(table)} volumes are not used ({said}); their reasons stand in the table."
            )
    described = tables.get("descriptives", ("variable", "diagnosis", "n"))
    described = described[described["variable"] != "volume_ml"]
    if len(described):
        samples = list(dict.fromkeys(described["sample"])) if "sample" in described.columns else [None]
        for sample in samples:
            own = described if sample is None else rows_of(described, sample=sample)
            section.tables.append(_descriptives(tables, own, sample))
        first = described if samples[0] is None else rows_of(described, sample=str(samples[0]))
        ages = rows_of(first, variable="age")
        small = ages[(ages["diagnosis"] != "all") & (ages["n"] < 10)]
        if len(small):
            groups = in_order(small["diagnosis"].dropna().unique(), cohort.DIAGNOSES)
            section.caveats.append(f"Groups with fewer than 10 people ({listed(groups, 6)}) are described, not tested.")
    conflicts = len(tables.get("conflicts"))
    if conflicts:
        section.warnings.append(
            f"Clinical tables contradict each other in {_count(conflicts, 'place')}; what was used stands in "
            f"{tables.file('conflicts')}."
        )
    missing = tables.get("missing", ("analysis", "outcome", "method", "n_total", "n_used"))
    if len(missing):
        section.tables.append(_ledger(tables, missing))
    if section.nothing and (section.tables or section.figures):
        section.nothing = ""
    return section


ORDINAL = ("edss", "d_edss")  # described by median and quartiles, as in the paper
SHARES = ("female", "steroid")


def _descriptives(tables: Tables, table: pd.DataFrame, sample: str | None) -> Shown:
    groups = [*(["all"] if (table["diagnosis"] == "all").any() else []), *cohort.diagnoses_in(table)]
    rows = []
    for variable in dict.fromkeys(table["variable"].dropna()):
        cells = []
        for group in groups:
            own = rows_of(table, variable=variable, diagnosis=group)
            cells.append(_described(variable, own.iloc[0]) if len(own) and own.iloc[0]["n"] > 0 else "–")
        rows.append([_variable(variable), *cells])
    title = "Mean ± SD, for EDSS median [quartiles]; (n)"
    return Shown(
        title if sample is None else f"{_word(sample)}: {title[0].lower()}{title[1:]}",
        ["", *groups],
        rows,
        tables.file("descriptives"),
    )


def _described(variable: str, row: Any) -> str:
    count = f" ({number(row['n'], 0)})"
    if variable in SHARES:
        return f"{number(100 * row['mean'], 0)} %{count}"
    if variable in ORDINAL or not np.isfinite(row.get("mean", np.nan)):
        return f"{number(row.get('median'), 1)} {interval(row.get('q1'), row.get('q3'), 1)}{count}"
    digits = 0 if abs(row["mean"]) >= 200 else 2 if abs(row["mean"]) < 20 else 1
    return f"{number(row['mean'], digits)} ± {number(row['sd'], digits)}{count}"


VARIABLES = {
    "age": "Age (years)",
    "female": "Women",
    "disease_duration": "Disease duration (years)",
    "edss": "EDSS",
    "t25fw": "T25FW (s)",
    "nhpt": "9-HPT (s)",
    "sdmt": "SDMT",
    "t25fw_trials": "Trials of T25FW",
    "nhpt_trials": "Trials of 9-HPT",
    "icv_ml": "Intracranial volume (mL)",
    "interval_years": "Interval (years)",
    "steroid": "Steroids in between",
    "d_edss": "Change of EDSS",
    "d_t25fw": "Change of T25FW (s)",
    "d_nhpt": "Change of 9-HPT (s)",
    "d_sdmt": "Change of SDMT",
}


def _variable(name: str) -> str:
    return VARIABLES.get(name, _word(name))


def _ledger(tables: Tables, table: pd.DataFrame) -> Shown:
    table = rows_of(table, subset="all") if "subset" in table.columns else table
    table = table[table["analysis"].isin(["crosssectional", "longitudinal", "ordinal", "pbvc"])]
    reasons = [c for c in table.columns if c.startswith("lost_") and (table[c].fillna(0) > 0).any()]
    rows = []
    for (analysis, outcome), own in table.groupby(["analysis", "outcome"], sort=False, dropna=False):
        counts = [_span(own[c]) for c in ("n_total", "n_used", *reasons)]
        rows.append([ANALYSES.get(str(analysis), _word(analysis)), clinical.outcome_name(str(outcome)), *counts])
    header = ["Analysis", "Outcome", "n in all", "n used", *(_word(r.removeprefix("lost_")) for r in reasons)]
    return Shown("Rows used, and lost by reason; a range where methods differ", header, rows, tables.file("missing"))


ANALYSES = {"crosssectional": "Cross-sectional", "longitudinal": "Longitudinal", "pbvc": "PBVC"}


def volumes(tables: Tables) -> Section:
    """Thalamic volumes."""
    section = Section("volumes", "Thalamus volumes")
    section.add(cohort.volumes(tables))
    if not section.figures:
        section.nothing = "There is no usable volume in group_volumes.tsv."
        return section
    found = rows_of(
        tables.get("descriptives", ("variable", "method", "diagnosis", "median")),
        variable="volume_ml",
        sample="baseline",
    ).dropna(subset=["median", "method"])
    everybody = rows_of(found, diagnosis="all").sort_values("median")
    if len(everybody):
        low, high = everybody.iloc[0], everybody.iloc[-1]
        text = f"The median volume at baseline is {number(low['median'])} mL by {look.label(low['method'])}"
        if len(everybody) > 1:
            text += f", the smallest, and {number(high['median'])} mL by {look.label(high['method'])}, the largest"
        section.says.append(f"{text} (n = {number(low['n'], 0)}).")
        section.tables.append(_volume_table(tables, found))
    if len(tables.get("harmonised")):
        section.caveats.append("Volumes were harmonised over sites by ComBat before anything was computed from them.")
    section.caveats.append(
        "Each method follows its own definition of the thalamus: volumes of different methods, or protocols, are not "
        "interchangeable and must not be mixed in one analysis."
    )
    section.caveats += _unions(methods_in(tables.get("volumes")))
    return section


def _volume_table(tables: Tables, table: pd.DataFrame) -> Shown:
    groups = [*(["all"] if (table["diagnosis"] == "all").any() else []), *cohort.diagnoses_in(table)]
    rows = []
    for method in methods_in(table):
        cells = []
        for group in groups:
            own = rows_of(table, method=method, diagnosis=group)
            cells.append(
                f"{number(own.iloc[0]['median'])} {interval(own.iloc[0]['q1'], own.iloc[0]['q3'])}" if len(own) else "–"
            )
        rows.append([look.label(method), *cells])
    return Shown("Median [quartiles] at baseline, mL", ["Method", *groups], rows, tables.file("descriptives"))


def overlaps(tables: Tables) -> Section:
    """Dice, precision, sensitivity."""
    section = Section("overlap", "Overlap with the manual masks")
    raters = overlap.raters(tables)
    if not raters:
        section.nothing = "There are no manual masks: name their folder with --derivatives manual=PATH."
        return section
    for rater in raters:
        one = rater if len(raters) > 1 else None
        section.add(overlap.boxes(tables, one))
        summary = tables.get("overlap_summary", ("method", "metric", "median", "q1", "q3"))
        summary = summary if one is None else rows_of(summary, rater=one)
        if len(summary):
            section.says.append(_overlap_sentence(summary, one))
            section.tables.append(_summary(tables, summary, one))
    tests = tables.get("overlap_tests", ("metric", "method", "method2", "p_fdr"))
    dice = rows_of(tests, metric="dice").dropna(subset=["p_fdr"])
    if len(dice):
        below = int((dice["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"{below} of {_count(len(dice), 'pair')} of methods differ in Dice (Wilcoxon signed-rank, "
            "Benjamini-Hochberg over the pairs of a measure)."
        )
    between = _generic(tables, "rater_agreement")
    section.tables += [between] if between.rows else []
    section.caveats += [
        "Precision falls when a mask is too large, sensitivity when it is too small; Dice weighs both.",
        *_unions(methods_in(tables.get("overlap"))),
        (
            "Manual masks drawn on T1w and FLAIR favour what is seen there: a deviation of an R1 mask need not be an "
            "error."
        ),
    ]
    return section


def _overlap_sentence(summary: pd.DataFrame, rater: str | None) -> str:
    own = rows_of(summary, metric="dice").dropna(subset=["median"]).sort_values("median")
    if own.empty:
        return "No method has a Dice with the manual masks."
    best = own.iloc[-1]
    who = "" if rater is None else f"Against {rater}: "
    spread = interval(best["q1"], best["q3"], 3)
    text = f"{who}{look.label(best['method'])} has the highest median Dice, {number(best['median'], 3)} {spread}"
    if len(own) > 1:
        text += f"; the lowest is that of {look.label(own.iloc[0]['method'])}, {number(own.iloc[0]['median'], 3)}"
    largest = own["n"].max() if "n" in own.columns else np.nan
    return text + (f" (n = {largest:.0f})." if np.isfinite(largest) else ".")


def _summary(tables: Tables, summary: pd.DataFrame, rater: str | None) -> Shown:
    metrics = in_order(summary["metric"].dropna().unique(), [*overlap.METRICS, "hd95_mm", "assd_mm"])
    rows = []
    for method in methods_in(summary):
        cells = []
        for metric in metrics:
            own = rows_of(summary, method=method, metric=metric)
            cells.append(
                f"{number(own.iloc[0]['median'], 3)} ({number(own.iloc[0]['q1'], 3)}–{number(own.iloc[0]['q3'], 3)})"
                if len(own)
                else "–"
            )
        rows.append([look.label(method), *cells])
    title = "Median (quartiles)" + ("" if rater is None else f", rater {rater}")
    return Shown(
        title, ["Method", *(overlap.METRICS.get(m, _word(m)) for m in metrics)], rows, tables.file("overlap_summary")
    )


def containment(tables: Tables) -> Section:
    """Which masks lie in which."""
    section = Section("containment", "Containment between methods")
    figure = overlap.containment(tables)
    section.add(figure)
    if figure is None:
        section.nothing = (
            "Containment needs the masks of at least two methods; those that are compared are fewer, or there are no "
            "mask files. By default only masks made from the T1w alone are compared, as in the paper; "
            '[group] containment = "all" in the settings compares every mask.'
        )
        return section
    table = tables.get("containment")
    made = [row for row in table.to_dict("records") if overlap.constructed(row)]
    free = [row for row in table.to_dict("records") if not overlap.constructed(row) and np.isfinite(row["mean"])]
    if free:
        low = min(free, key=lambda row: row["mean"])
        high = max(free, key=lambda row: row["mean"])
        section.says.append(
            f"Of the pairs that are free to differ, {look.label(high['method_inner'])} lies most in "
            f"{look.label(high['method_outer'])} ({number(high['mean'])}), {look.label(low['method_inner'])} least in "
            f"{look.label(low['method_outer'])} ({number(low['mean'])})."
        )
    if made:
        section.caveats.append(
            f"{_count(len(made), 'pair')} (starred) are fixed by construction: MindGlide's deep grey matter is cut by "
            "an envelope (FSL FIRST unless the name says otherwise), so its containment in that envelope is 1 "
            "whatever it sees, and errors of the envelope show in its masks; members lie wholly in the union of two."
        )
    section.caveats.append("Containment describes size and position relative to another method, not correctness.")
    return section


def agreement(tables: Tables) -> Section:
    """CCC, ICC, regression, Bland-Altman."""
    section = Section("agreement", "Volumes against the manual masks")
    table = tables.get("agreement", ("method", "quantity", "estimate"))
    if table.empty:
        section.nothing = "There are no manual masks, so there is no volume to compare with."
        return section
    raters: list[str | None] = sorted(table["rater"].dropna().unique()) if "rater" in table.columns else [None]
    for rater in raters:
        one = rater if len(raters) > 1 else None
        section.add(volumetric.scatter(tables, one), volumetric.bland_altman(tables, one))
        own = table if one is None else rows_of(table, rater=one)
        section.says += _agreement_sentences(own, one)
        section.tables.append(_agreement_table(tables, own, one))
    section.caveats += [
        (
            "ICC(C,1) is consistency, ICC(3,1) in the older naming: a constant offset does not lower it. The paper "
            "calls it absolute agreement, but its numbers are these. ICC(A,1), absolute agreement, stands beside it."
        ),
        "CCC falls with any offset, ICC(C,1) does not: a method can rank people well and still be wrong in mL.",
        (
            "A Bland-Altman slope on the mean of both is biased when their variances differ; read the slope on the "
            "manual volume with it."
        ),
    ]
    return section


def _agreement_sentences(table: pd.DataFrame, rater: str | None) -> list[str]:
    says = []
    who = "" if rater is None else f"Against {rater}: "
    ccc = rows_of(table, quantity="ccc").dropna(subset=["estimate"]).sort_values("estimate")
    if len(ccc):
        best = ccc.iloc[-1]
        ends = interval(best.get("ci_low"), best.get("ci_high"))
        says.append(
            f"{who}{look.label(best['method'])} has the highest concordance (CCC {number(best['estimate'])} {ends})."
        )
    bias = rows_of(table, quantity="bias").dropna(subset=["estimate"])
    if len(bias):
        bias = bias.iloc[np.argsort(np.abs(bias["estimate"].to_numpy()))]
        small, large = bias.iloc[0], bias.iloc[-1]
        text = f"{who}The bias is smallest for {look.label(small['method'])} ({number(small['estimate'])} mL)"
        if len(bias) > 1:
            text += f" and largest for {look.label(large['method'])} ({number(large['estimate'])} mL)"
        says.append(text + ".")
    return says


def _agreement_table(tables: Tables, table: pd.DataFrame, rater: str | None) -> Shown:
    columns = (
        ("ccc", "CCC"),
        ("icc_c1", "ICC(C,1)"),
        ("icc_a1", "ICC(A,1)"),
        ("slope", "Slope"),
        ("sd_e", "SDe mL"),
        ("bias", "Bias mL"),
        ("bias_sd", "SD of bias"),
        ("proportional_slope", "Slope on mean"),
        ("proportional_slope_on_reference", "Slope on manual"),
    )
    rows = []
    for method in methods_in(table):
        cells = []
        for quantity, _ in columns:
            own = rows_of(table, method=method, quantity=quantity)
            if own.empty:
                cells.append("–")
                continue
            row = own.iloc[0]
            ends = interval(row.get("ci_low"), row.get("ci_high"))
            cells.append(number(row["estimate"]) + ("" if ends == "–" else f" {ends}"))
        rows.append([look.label(method), *cells])
    title = "Estimate [95 % interval]" + ("" if rater is None else f", rater {rater}")
    return Shown(title, ["Method", *(name for _, name in columns)], rows, tables.file("agreement"))


def cross_sectional(tables: Tables) -> Section:
    """Volumes and clinical scores at the first visit."""
    section = Section("crosssectional", "Clinical scores and volume, cross-sectional")
    table = clinical.volume_rows(tables, "crosssectional", subset="all")
    if table.empty:
        section.nothing = "No cross-sectional model could be planned: clinical scores, age, sex or volumes are missing."
        return section
    section.add(clinical.forest(tables, "crosssectional", "Coefficients of the volume", "crosssectional", subset="all"))
    _models(section, tables, table, "crosssectional")
    section.add(clinical.residuals(tables, "crosssectional"))
    section.caveats += [
        (
            "Models: outcome on volume (mL), age, sex and standardised intracranial volume; T25FW and 9-HPT as natural "
            "logarithms; robust errors (HC3) for EDSS and disease duration."
        ),
        (
            "A stronger association supports a method, it does not prove that its masks are better: disease "
            "heterogeneity, global atrophy and noisy scores act too."
        ),
    ]
    return section


def longitudinal(tables: Tables) -> Section:
    """Change of volume and change of clinical scores."""
    section = Section("longitudinal", "Change of clinical scores and change of volume")
    table = clinical.volume_rows(tables, "longitudinal", subset="all", sensitivity="none")
    if table.empty:
        section.nothing = "No longitudinal model could be planned: a second visit with volumes and scores is needed."
        return section
    which = {"subset": "all", "sensitivity": "none"}
    section.add(
        clinical.forest(tables, "longitudinal", "Coefficients of the change of volume", "longitudinal", **which)
    )
    _models(section, tables, table, "longitudinal")
    section.add(clinical.residuals(tables, "longitudinal"))
    section.caveats.append(
        "Over one or two years scores change little and volumes change by about the error of the method: read these "
        "coefficients as exploratory."
    )
    return section


def _models(section: Section, tables: Tables, table: pd.DataFrame, name: str) -> None:
    """Sentences, warnings and the table of the volume terms."""
    tested = table.dropna(subset=["p_fdr"])
    below = tested[tested["p_fdr"] < clinical.ALPHA]
    if len(tested):
        text = f"{len(below)} of {_count(len(tested), 'model')} have a corrected p below 0.05"
        outcomes = [clinical.outcome_name(o) for o in clinical.outcomes_in(below)]
        section.says.append(text + (f", for {listed(outcomes, 6)}." if outcomes else "."))
        section.caveats.append(
            f"p is corrected (Benjamini-Hochberg) over all {len(tested)} models of this section, methods times "
            "outcomes; the correction within each outcome stands beside it in the table."
        )
    failed = table[table["estimate"].isna()]
    if len(failed):
        reasons = failed["reason"].dropna().unique() if "reason" in failed.columns else []
        why = f" ({listed([str(r) for r in reasons], 4)})" if len(reasons) else ""
        section.warnings.append(f"{_count(len(failed), 'model')} could not be fitted{why}.")
    odd = table[np.array([_unexpected(row) for row in table.to_dict("records")], dtype=bool)]
    if len(odd):
        outcomes = [clinical.outcome_name(o) for o in clinical.outcomes_in(odd)]
        section.warnings.append(
            f"Counter-intuitive sign: for {listed(outcomes, 6)}, {_count(len(odd), 'model')} say that more thalamus "
            "goes with a worse score (95 % interval without 0, p not corrected). The paper saw the same for the change "
            "of EDSS and takes it as exploratory: EDSS is ordinal and moved by relapses, volumes by water and "
            "inflammation (pseudoatrophy), and by measurement noise."
        )
    rows = []
    for row in _model_order(table):
        rows.append(
            [
                clinical.outcome_name(row["outcome"]),
                look.label(row["method"]),
                number(row["estimate"], 3),
                interval(row["ci_low"], row["ci_high"], 3),
                p_value(row.get("p")),
                p_value(row["p_fdr"]),
                p_value(row.get("p_fdr_outcome")),
                number(row.get("n"), 0),
                number(row.get("r2")),
                _text(row.get("reason")),
            ]
        )
    header = ["Outcome", "Method", "β", "95 % interval", "p", "p corrected", "p within outcome", "n", "R²", "Remark"]
    section.tables.append(Shown("The volume's coefficient; every term is in the file", header, rows, tables.file(name)))


def _model_order(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for outcome in clinical.outcomes_in(table):
        for method in methods_in(table):
            yield from rows_of(table, outcome=outcome, method=method).to_dict("records")


def _unexpected(row: dict[str, Any]) -> bool:
    """Whether the table's column ``warning`` says so too: whatever the corrected p, nobody should miss it."""
    return bool(signs.warning(str(row["outcome"]), *(float(row[name]) for name in ("estimate", "ci_low", "ci_high"))))


def change(tables: Tables) -> Section:
    """Change between visits."""
    section = Section("change", "Change of thalamic volume")
    section.add(cohort.change(tables))
    if not section.figures:
        section.nothing = "No participant has volumes of the same method at two sessions."
        return section
    summary = tables.get("change_summary", ("method", "diagnosis", "measure", "mean", "sd", "n"))
    own = rows_of(summary, measure="delta_percent", diagnosis="all").dropna(subset=["mean"]).sort_values("mean")
    if len(own):
        first, last = own.iloc[0], own.iloc[-1]
        text = f"The mean change is {number(first['mean'])} ± {number(first['sd'])} % by {look.label(first['method'])}"
        if len(own) > 1:
            least = f"{number(last['mean'])} ± {number(last['sd'])} % by {look.label(last['method'])}"
            text += f", the most negative, and {least}, the least negative"
        section.says.append(f"{text} (n = {number(first['n'], 0)}).")
    percent = rows_of(summary, measure="delta_percent")
    if len(percent):
        section.tables.append(_change_table(tables, percent))
    tests = tables.get("change_tests", ("method", "method2", "p_fdr")).dropna(subset=["p_fdr"])
    if len(tests):
        below = int((tests["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"{below} of {_count(len(tests), 'pair')} of methods differ (paired Wilcoxon, corrected over the pairs)."
        )
    section.caveats += [
        "Groups are described, not compared by a test: they differ in size, and some are small.",
        "Manual masks exist at one time point in most studies: more measured loss is not a proof of a better method.",
    ]
    return section


def _change_table(tables: Tables, table: pd.DataFrame) -> Shown:
    groups = [*(["all"] if (table["diagnosis"] == "all").any() else []), *cohort.diagnoses_in(table)]
    rows = []
    for method in methods_in(table):
        cells = []
        for group in groups:
            own = rows_of(table, method=method, diagnosis=group)
            cells.append(
                f"{number(own.iloc[0]['mean'])} ± {number(own.iloc[0]['sd'])}; {number(own.iloc[0]['n'], 0)}"
                if len(own)
                else "–"
            )
        rows.append([look.label(method), *cells])
    return Shown("Mean ± SD in % of baseline; n", ["Method", *groups], rows, tables.file("change_summary"))


def sensitivity(tables: Tables) -> Section:
    """Whether the longitudinal result stands."""
    section = Section("sensitivity", "Sensitivity analyses")
    section.add(clinical.sensitivity(tables), clinical.ordinal(tables))
    if not section.figures:
        section.nothing = "No variant of the longitudinal models could be fitted."
        return section
    table = tables.get("longitudinal", (*clinical.NEEDS, "subset", "sensitivity"))
    table = table[
        (table["term"] == "delta_volume_ml") & ((table["subset"] != "all") | (table["sensitivity"] != "none"))
    ]
    tested = table.dropna(subset=["p_fdr"])
    if len(tested):
        parts = []
        for (subset, variant), own in tested.groupby(["subset", "sensitivity"], sort=False):
            name = f"{subset}, {clinical.VARIANTS.get(str(variant), str(variant))}"
            parts.append(f"{int((own['p_fdr'] < clinical.ALPHA).sum())} of {len(own)} ({name})")
        section.says.append(f"Models with a corrected p below 0.05: {listed(parts, 8)}.")
    ordinal = tables.get("ordinal", ("method", "threshold", "term", "estimate", "p_fdr"))
    ordinal = ordinal[ordinal["term"] == "delta_volume_ml"].dropna(subset=["p_fdr"])
    if len(ordinal):
        below = int((ordinal["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"Ordinal models of the EDSS categories with a corrected p below 0.05: {below} of {len(ordinal)}."
        )
        rows = [
            [
                look.label(r["method"]),
                clinical.THRESHOLDS.get(r["threshold"], str(r["threshold"])),
                _text(r.get("subset")),
                number(r["estimate"]),
                interval(r.get("ci_low"), r.get("ci_high")),
                p_value(r["p_fdr"]),
                " / ".join(number(r.get(c), 0) for c in ("n_improved", "n_stable", "n_worse")),
            ]
            for r in ordinal.to_dict("records")
        ]
        header = [
            "Method",
            "Categories",
            "Subset",
            "log odds per mL",
            "95 % interval",
            "p corrected",
            "improved / stable / worse",
        ]
        section.tables.append(Shown("Ordinal models", header, rows, tables.file("ordinal")))
    section.caveats.append(
        "Clipping is done on the change of volume (numpy's linear quantiles), before rows are dropped."
    )
    return section


def pbvc(tables: Tables) -> Section:
    """Thalamic change and the whole brain's."""
    section = Section("pbvc", "Thalamic change and whole-brain change (SIENA)")
    section.figures += cohort.pbvc(tables)
    table = tables.get("pbvc", ("method", "r")).dropna(subset=["r"]).sort_values("r")
    if table.empty:
        section.nothing = (
            "There is no percentage brain volume change (PBVC) for anybody: SIENA was not run, or not given."
        )
        return section
    best, least = table.iloc[-1], table.iloc[0]
    ends = interval(best.get("ci_low"), best.get("ci_high"))
    text = f"{look.label(best['method'])} has the strongest correlation with PBVC, r = {number(best['r'])} {ends}"
    section.says.append(
        text + (f"; {look.label(least['method'])} the weakest, r = {number(least['r'])}." if len(table) > 1 else ".")
    )
    tests = tables.get("pbvc_tests", ("method", "method2", "test", "p_fdr"))
    for test in dict.fromkeys(tests["test"].dropna()):
        own = rows_of(tests, test=test).dropna(subset=["p_fdr"])
        if len(own):
            below = int((own["p_fdr"] < clinical.ALPHA).sum())
            section.says.append(
                f"By the test of {_word(test)}, {below} of {_count(len(own), 'pair')} of correlations differ."
            )
    rows = [
        [
            look.label(m),
            number(r["r"]),
            interval(r.get("ci_low"), r.get("ci_high")),
            p_value(r.get("p_fdr")),
            number(r.get("n"), 0),
        ]
        for m in methods_in(table)
        for r in rows_of(table, method=m).to_dict("records")
    ]
    section.tables.append(
        Shown("Pearson correlations", ["Method", "r", "95 % interval", "p corrected", "n"], rows, tables.file("pbvc"))
    )
    section.caveats += [
        (
            "The paper names a Wilcoxon test between methods on PBVC. It cannot be done: there is one PBVC per person, "
            "the same for every method. Correlations that share the PBVC are compared here (Williams, Steiger, Zou's "
            "interval)."
        ),
        "The thalamus is part of the brain: some correlation is there by construction.",
    ]
    return section


KNOWN = {
    "volumes", "overlap", "overlap_summary", "overlap_tests", "containment", "agreement", "change", "change_summary",
    "change_tests", "crosssectional", "longitudinal", "ordinal", "pbvc", "pbvc_tests", "descriptives", "missing",
    "residuals", "residual_checks", "wholebrain", "ratings",
    "normative", "conflicts", "rater_overlap", "rater_agreement", "harmonised", "samplesize",
}  # fmt: skip
COLUMNS = {
    "ci_low": "95 % from", "ci_high": "to", "p_fdr": "p corrected", "n": "n", "p": "p", "estimate": "Estimate",
    "n_source": "n of source", "n_participants": "n", "n_three": "n with three visits", "percent": "% per year",
}  # fmt: skip
BEYOND: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {  # title, rows shown, columns shown
    "rater_agreement": ("Agreement between raters", {}, ()),
    "rating_agreement": ("Agreement of the blinded ratings", {}, ()),
    "detectable": (
        "Smallest detectable change of one person, and who changed more",
        {"unit": "percent", "diagnosis": "all"},
        (
            "method",
            "source",
            "n_source",
            "smallest_change",
            "ci_low",
            "ci_high",
            "n",
            "share_loss",
            "share_gain",
            "reason",
        ),
    ),
    "annualised": (
        "Scores and volumes per year: the volume's coefficient",
        {"subset": "all", "term": "delta_volume_ml_per_year"},
        ("outcome", "method", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
    ),
    "mixed": (
        "Mixed models of three and more visits: change per year",
        {"subset": "all", "term": "years"},
        (
            "method",
            "random",
            "estimate",
            "ci_low",
            "ci_high",
            "percent",
            "p_fdr",
            "n_participants",
            "n_three",
            "reason",
        ),
    ),
    "samplesize": (
        "People per arm of a trial",
        {},
        ("method", "population", "effect", "power", "n_per_arm", "ci_low", "ci_high", "relative_to", "reason"),
    ),
}
SIDES = ("analysis", "outcome", "method", "measure", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason")


def beyond(tables: Tables) -> Section:
    """What the paper does not have."""
    section = Section("beyond", "Beyond the paper")
    section.add(cohort.normative(tables), cohort.sample_size(tables))
    if any(figure.name == "samplesize" for figure in section.figures):
        section.caveats.append(
            "A small sample size needs a precise method, not a right one: a method that measures something steadier "
            "than the thalamus would win too."
        )
    for name in [name for name in tables.names() if name not in KNOWN] + ["samplesize"]:
        shown = _generic(tables, name)
        if shown.rows:
            section.tables.append(shown)
    if not section.tables:
        section.nothing = "Nothing beyond the paper's analyses was computed in this run."
    return section


def _generic(tables: Tables, name: str) -> Shown:
    """A table as it is, or the part of it that people want first."""
    title, which, columns = BEYOND.get(name, (_word(name), {}, ()))
    table = rows_of(tables.get(name), **which)
    if name == "sides":
        title = "Left, right and asymmetry: the volume's coefficient"
        terms = ("volume_ml", "delta_volume_ml", "asymmetry", "delta_asymmetry")
        table, columns = table[table["term"].isin(terms)], SIDES
    table = table[[c for c in columns if c in table.columns]] if columns else table
    table = table.dropna(axis="columns", how="all")
    rows = [
        [look.label(str(v)) if c.startswith("method") and v == v else _cell(v) for c, v in row.items()]
        for row in table.head(MOST_ROWS + 1).to_dict("records")
    ]
    return Shown(title, [COLUMNS.get(c, _word(c)) for c in table.columns], rows, tables.file(name))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e9:
            return str(int(value))
        return "–" if not np.isfinite(value) else f"{value:.4g}"
    return "–" if value is None or value != value else str(value)


def _unions(methods: Sequence[str]) -> list[str]:
    if not any(look.is_union(m) for m in methods):
        return []
    return [
        (
            "Ensembles of two are unions of their members, never smaller than either; those of three are majorities. "
            "Their numbers are not independent of their members'."
        )
    ]


def _span(column: pd.Series[Any]) -> str:
    found = column.dropna()
    if found.empty:
        return "–"
    ends = number(found.min(), 0), number(found.max(), 0)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _word(text: Any) -> str:
    text = "–" if text is None or text != text else str(text).replace("_", " ")
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
