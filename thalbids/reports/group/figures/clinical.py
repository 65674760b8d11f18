"""Clinical models: forest plots (the paper's Fig. 4, 6, S3 - S5), and the residuals behind log and HC3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.results.names import REGISTERED
from thalbids.reports.group.figures import look, marks
from thalbids.reports.group.figures.canvas import SMALL, Figure, Panel
from thalbids.reports.group.group_data import (
    Tables,
    by_keys,
    in_order,
    listed,
    methods_in,
    number,
    p_value,
    rows_of,
    stars,
)

if TYPE_CHECKING:
    import pandas as pd

VOLUME_TERMS = {"crosssectional": "volume_ml", "longitudinal": "delta_volume_ml"}
OUTCOMES = {
    "edss": "EDSS",
    "t25fw": "T25FW",
    "nhpt": "9-HPT",
    "sdmt": "SDMT",
    "disease_duration": "Disease duration",
    "d_edss": "Change of EDSS",
    "d_t25fw": "Change of T25FW",
    "d_nhpt": "Change of 9-HPT",
    "d_sdmt": "Change of SDMT",
}
UNITS = {
    "edss": "points",
    "t25fw": "s",
    "nhpt": "s",
    "sdmt": "answers",
    "disease_duration": "years",
    "d_edss": "points",
    "d_t25fw": "s",
    "d_nhpt": "s",
    "d_sdmt": "answers",
}
NEEDS = ("outcome", "method", "term", "estimate", "ci_low", "ci_high", "p_fdr")
ALPHA = 0.05
MOST_CLAIMS = 16  # Q-Q plots of an analysis
THINNED = 400  # as in group.analyses.plots
MOST_METHODS = 15  # up to which the sensitivity analyses of every outcome are drawn, else those of the first


def outcome_name(outcome: str) -> str:
    """How people read an outcome."""
    return OUTCOMES.get(outcome, outcome)


def volume_rows(tables: Tables, name: str, **which: str) -> pd.DataFrame:
    """The rows of the volume term of a model table, of these subsets and the like."""
    table = tables.get(name, NEEDS)
    return rows_of(table[table["term"] == VOLUME_TERMS[name]], **which)


def outcomes_in(table: pd.DataFrame) -> list[str]:
    """The outcomes of a table in the paper's order."""
    return in_order(table["outcome"].dropna().unique(), list(OUTCOMES))


def forest(tables: Tables, name: str, title: str, figure: str, **which: str) -> Figure | None:
    """One panel per outcome with a model that was fitted: the volume's coefficient per method with its interval."""
    table = volume_rows(tables, name, **which)
    fitted = outcomes_in(table[table["estimate"].notna()])
    without = [outcome_name(outcome) for outcome in outcomes_in(table) if outcome not in fitted]
    panels = [_panel(table[table["outcome"] == outcome], outcome) for outcome in fitted]
    if not panels:
        return None
    per = "per mL of thalamus" if name == "crosssectional" else "per mL of change of the thalamus"
    intro = (
        f"Regression coefficient {per}, with 95 % interval. Filled with a dot: p below 0.05 after correction over the "
        "whole family (* < 0.05, ** < 0.01, *** < 0.001); open: not. That is no measure of size: look at the "
        "intervals."
    )
    intro += f" Not drawn, as no model could be fitted: {listed(without, 12)}." if without else ""
    return Figure(figure, title, intro, panels, tables.file(name), 2)


def _panel(table: pd.DataFrame, outcome: str, ends: tuple[float, float] | None = None) -> Panel:
    rows, said = [], []
    fitted = table[np.isfinite(table["estimate"])]
    sizes = fitted["n"].dropna() if "n" in table.columns else fitted.iloc[:0]["estimate"]
    differ = sizes.nunique() > 1
    for method in methods_in(table):
        row = table[table["method"] == method].iloc[0]
        p = row["p_fdr"]
        size = f" ({row['n']:.0f})" if differ and np.isfinite(row["n"]) else ""
        good = bool(np.isfinite(p) and p < ALPHA)
        reason = row.get("reason")
        note = stars(p) if np.isfinite(row["estimate"]) else str(reason) if reason == reason else ""
        rows.append(
            marks.Dot(
                look.label(method) + size,
                row["estimate"],
                row["ci_low"],
                row["ci_high"],
                look.colour(method),
                look.marker(method),
                good,
                note,
            )
        )
        if np.isfinite(row["estimate"]):
            said.append(f"{look.label(method)} {number(row['estimate'])} (p {p_value(p)})")
    logged = "transform" in table.columns and (table["transform"] == "log").any()
    unit = f"log {UNITS.get(outcome, '')}".strip() if logged else UNITS.get(outcome, "")
    ends_of_n = f"{sizes.min():.0f}" + (f" to {sizes.max():.0f}" if differ else "") if len(sizes) else ""
    count = f"  (n = {ends_of_n})" if ends_of_n else ""
    alt = f"{outcome_name(outcome)}: coefficients {listed(said, 12)}."
    draw = partial(marks.dots, rows=rows, xlabel=f"β ({unit} per mL)" if unit else "β per mL", ends=ends)
    return Panel(f"{outcome_name(outcome)}{count}", alt, draw, height=marks.height(len(rows)))


def sensitivity(tables: Tables) -> Figure | None:
    """Per outcome: the coefficient of every method in the main analysis and in each variant of it."""
    table = tables.get("longitudinal", (*NEEDS, "subset", "sensitivity"))
    table = table[table["term"] == VOLUME_TERMS["longitudinal"]]
    kinds = list(dict.fromkeys(zip(table["subset"].fillna("all"), table["sensitivity"].fillna("none"), strict=True)))
    if len(kinds) < 2:
        return None
    panels = []
    outcomes = outcomes_in(table)
    methods = [name for name in methods_in(table) if not name.endswith(REGISTERED)]
    for outcome in outcomes if len(methods) <= MOST_METHODS else outcomes[:1]:
        every = rows_of(table, outcome=outcome)
        low, high = every["ci_low"].min(), every["ci_high"].max()
        margin = 0.05 * (high - low)
        ends = (min(low, 0) - margin, max(high, 0) + margin) if np.isfinite(margin) else None  # for each of its panels
        for subset, variant in kinds:
            rows = rows_of(every, subset=subset, sensitivity=variant)
            if rows["estimate"].notna().any():
                built = _panel(rows, outcome, ends)
                what = f"{subset}, {VARIANTS.get(variant, variant)}"
                panels.append(Panel(f"{built.title}: {what}", f"{what}. {built.alt}", built.draw, height=built.height))
    if not panels:
        return None
    intro = (
        "The same model on a subset, and with extreme changes of volume clipped. What holds in all panels does not "
        "rest on a few people; where the coefficient stays and only the interval grows, fewer people are the likely "
        "reason."
    )
    return Figure("sensitivity", "Sensitivity analyses", intro, panels, tables.file("longitudinal"), 2)


VARIANTS = {
    "none": "as measured",
    "winsor_1_99": "clipped at 1-99 %",
    "winsor_5_95": "clipped at 5-95 %",
}
THRESHOLDS = {"any": "any change", "ge1": "change of at least 1 point"}


def ordinal(tables: Tables) -> Figure | None:
    """Odds ratios of a worse EDSS category per mL of thalamic change."""
    table = tables.get("ordinal", ("method", "threshold", "term", "estimate", "ci_low", "ci_high", "p_fdr"))
    table = table[table["term"] == "delta_volume_ml"]
    panels = []
    for threshold in in_order(table["threshold"].dropna().unique(), list(THRESHOLDS)):
        of_threshold = table[table["threshold"] == threshold]
        for subset in (
            list(dict.fromkeys(of_threshold["subset"].fillna("all"))) if "subset" in of_threshold.columns else ["all"]
        ):
            panels += _odds(rows_of(of_threshold, subset=subset), threshold, subset)
    if not panels:
        return None
    intro = (
        "Proportional odds of worse against better EDSS categories (improved, stable, worse) per mL of change of the "
        "thalamus. Above 1: more volume goes with worse EDSS."
    )
    return Figure("ordinal", "EDSS categories", intro, panels, tables.file("ordinal"), 2)


def _odds(models: pd.DataFrame, threshold: str, subset: str) -> list[Panel]:
    rows, said = [], []
    for method in methods_in(models):
        row = models[models["method"] == method].iloc[0]
        value, low, high = (float(np.exp(np.clip(row[c], -60, 60))) for c in ("estimate", "ci_low", "ci_high"))
        good = bool(np.isfinite(row["p_fdr"]) and row["p_fdr"] < ALPHA)
        rows.append(
            marks.Dot(
                look.label(method),
                value,
                low,
                high,
                look.colour(method),
                look.marker(method),
                good,
                stars(row["p_fdr"]),
            )
        )
        if np.isfinite(value):
            said.append(f"{look.label(method)} {number(value)} (p {p_value(row['p_fdr'])})")
    if not said:
        return []
    what = f"{THRESHOLDS.get(threshold, threshold)}, {subset}"
    draw = partial(marks.dots, rows=rows, xlabel="Odds ratio per mL (log scale)", reference=1.0, log=True)
    return [Panel(f"EDSS: {what}", f"Odds ratios, {what}: {listed(said, 12)}.", draw, height=marks.height(len(rows)))]


def residuals(tables: Tables, analysis: str) -> Figure | None:
    """QQ plot and residuals over fitted values per outcome, of the first method, on the raw and the log scale."""
    needs = ("analysis", "outcome", "method", "transform", "fitted", "residual")
    checked = tables.get("residual_checks", (*needs[:4], "qq_r", "spread_rho"))
    table = rows_of(tables.get("residuals", needs), analysis=analysis)
    if table.empty:
        return None
    method = methods_in(table)[0]
    table = table[table["method"] == method]
    panels: list[Panel] = []
    for outcome in outcomes_in(table):
        for transform in dict.fromkeys(table[table["outcome"] == outcome]["transform"].fillna("none")):
            of_outcome = table[(table["outcome"] == outcome) & (table["transform"].fillna("none") == transform)]
            of_outcome = of_outcome.dropna(subset=["fitted", "residual"])
            if len(of_outcome) < 3:
                continue
            said = rows_of(checked, analysis=analysis, outcome=outcome, method=method, transform=transform)
            r, rho = (float(said[column].iloc[0]) if len(said) else np.nan for column in ("qq_r", "spread_rho"))
            name = f"{outcome_name(outcome)}{' (log)' if transform == 'log' else ''}"
            panels.append(
                Panel(
                    f"{name}: QQ",
                    f"{name}, quantiles of residuals against a normal distribution: r = {number(r, 3)}.",
                    partial(_qq, rows=of_outcome, method=method, r=r),
                    SMALL,
                    2.8,
                )
            )
            panels.append(
                Panel(
                    f"{name}: residuals",
                    f"{name}, residuals over fitted values; rank correlation of their size with the fit {number(rho)}.",
                    partial(_spread, rows=of_outcome, method=method, rho=rho),
                    SMALL,
                    2.8,
                )
            )
    if not panels:
        return None
    kind = "Cross-sectional" if analysis == "crosssectional" else "Longitudinal"
    intro = (
        f"Models with {look.label(method)}. QQ: points on the line "
        "support normal residuals, a bend at the right a logarithm. Residuals over fit: a funnel (rank correlation of "
        "the size of the residuals with the fit, ρ, far from 0) supports robust errors (HC3)."
    )
    return Figure(f"residuals_{analysis}", f"{kind} models: residuals", intro, panels, tables.file("residuals"), 4)


def claimed(tables: Tables, analysis: str) -> Figure | None:
    """Q-Q plots of the models that enter a claim (corrected p below 0.05), but for those of `residuals`."""
    needs = ("analysis", "outcome", "method", "transform", "fitted", "residual")
    checked = rows_of(tables.get("residual_checks", (*needs[:4], "qq_r", "spread_rho", "claim")), analysis=analysis)
    checked = checked[checked["claim"].astype(str).str.lower() == "true"]
    table = rows_of(tables.get("residuals", needs), analysis=analysis)
    drawn = methods_in(table)[:1]
    parts = by_keys(table, "outcome", "method")
    panels: list[Panel] = []
    for outcome in outcomes_in(checked):
        for method in methods_in(rows_of(checked, outcome=outcome)):
            of_model = parts.get((outcome, method), table.iloc[:0])
            if method in drawn or len(of_model) < 3 or len(panels) >= MOST_CLAIMS:
                continue
            said = rows_of(checked, outcome=outcome, method=method)
            r = float(said["qq_r"].iloc[0])
            title = f"{outcome_name(outcome)}: {look.short(look.label(method))}"
            alt = f"{title}, quantiles of residuals against a normal distribution: r = {number(r, 3)}."
            panels.append(Panel(title, alt, partial(_qq, rows=of_model, method=method, r=r), SMALL, 2.8))
    if not panels:
        return None
    intro = (
        "Models whose volume has a corrected p below 0.05. Points on the line support normal residuals; of large "
        f"models {THINNED} points, evenly spaced. At most {MOST_CLAIMS} are drawn; the table has every model's numbers."
    )
    kind = "Cross-sectional" if analysis == "crosssectional" else "Longitudinal"
    return Figure(f"claims_{analysis}", f"{kind} models of a claim: Q-Q", intro, panels, tables.file("residuals"), 4)


def _qq(axes: Any, rows: pd.DataFrame, method: str, r: float) -> None:
    from scipy import stats

    (x, y), (slope, intercept, _) = stats.probplot(rows["residual"].to_numpy())
    marks.cloud(axes, x, y, method)
    axes.plot(x[[0, -1]], intercept + slope * x[[0, -1]], color=look.INK, linewidth=1.2)
    axes.set(xlabel="Normal quantile", ylabel="Residual")
    marks.note(axes, f"r = {number(r, 3)}")


def _spread(axes: Any, rows: pd.DataFrame, method: str, rho: float) -> None:
    axes.axhline(0, color=look.QUIET, linewidth=1, linestyle=(0, (4, 3)))
    marks.cloud(axes, rows["fitted"].to_numpy(), rows["residual"].to_numpy(), method)
    axes.set(xlabel="Fitted value", ylabel="Residual")
    marks.note(axes, f"ρ = {number(rho)}")
