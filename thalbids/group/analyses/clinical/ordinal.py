"""Improved, stable or worse by EDSS against change of volume (paper, 3.6), and the section on sensitivity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalbids.group.analysis import Analysis
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, number, p_value
from thalbids.reports.group.section import PageTable, Section, remark

if TYPE_CHECKING:
    pass

from dataclasses import replace

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical import longitudinal
from thalbids.group.cohort import Cohort
from thalbids.group.columns import ESTIMATE, FITTED, FORMULA, METHOD, REASON, SESSIONS, SUBSET, TERM
from thalbids.group.modelling import models
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.modelling.models import Plan
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import Sample, pairs, subsets
from thalbids.group.statistics.fits import fit, ordinal, signs
from thalbids.group.statistics.testing.correction import adjust

ORDINAL: dict[str, Column] = {
    **METHOD,
    "threshold": column(
        "Threshold",
        "Which change of EDSS counts as improved or worse.",
        Levels={"any": "Any change", "ge1": "At least one point"},
    ),
    **SUBSET,
    **SESSIONS,
    "term": column(
        "Term",
        "Coefficient of the model, as in group_longitudinal, or a threshold between two categories.",
        Levels={**TERM["term"]["Levels"], "threshold_A_B": "Log odds between two categories when every term is 0"},  # type: ignore[dict-item]
    ),
    **ESTIMATE,
    "estimate": column(
        "Coefficient",
        "Change of the log odds of a worse category per unit of the term (statsmodels' sign: positive is worse).",
    ),
    "p_fdr": column(
        "Adjusted p value", "Benjamini-Hochberg over the methods of a threshold and subset; volume term only."
    ),
    "odds_ratio": column("Odds ratio", "exp(coefficient): odds of a worse category per unit of the term."),
    "n": count("Number of rows", "Pairs of visits with every value of the model."),
    "n_improved": count("Improved", "Rows with a lower EDSS at follow-up."),
    "n_stable": count("Stable", "Rows without such a change."),
    "n_worse": count("Worse", "Rows with a higher EDSS at follow-up."),
    "sign": FITTED["sign"],
    "warning": FITTED["warning"],
    **REASON,
    "po_chi2": column("Chi-square of proportional odds", "Brant's test that the slopes are the same at both cuts."),
    "po_df": count("Degrees of freedom", "Of Brant's test: as many as predictors."),
    "p_po": column("p of proportional odds", "Small: the odds are not proportional, and one slope is no summary."),
    **FORMULA,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_ordinal``, and the ledger."""
    rows = with_measure(
        row for of_measure, pair in longitudinal.measures_of(cohort) for row in models_of(of_measure, pair)
    )
    choices = longitudinal.choices(cohort) | {
        "thresholds": ordinal.THRESHOLDS,
        "model": "proportional odds, logit link",
    }
    notes = models.left_out_notes("ordinal", rows)
    told = table("group_ordinal", rows, ORDINAL, settings=choices, notes=notes)
    return [told, missing_table(after_fit(ledgers(cohort), rows))]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many rows each model has, without fitting it."""
    plan = replace(longitudinal.plan(cohort), analysis="ordinal", outcomes=(ordinal.OUTCOME,))
    return [
        row
        for of_measure, pair in longitudinal.measures_of(cohort)
        for row in models.ledgers(plan, of_measure, pairs(of_measure, pair), pair)
    ]


def models_of(cohort: Cohort, pair: str) -> list[dict[str, Any]]:
    """Rows of ``group_ordinal``; ``p_fdr`` over the methods within a threshold and subset."""
    return fitted(longitudinal.plan(cohort), cohort, pairs(cohort, pair), pair)


def fitted(plan: Plan, cohort: Cohort, sample: Sample, pair: str) -> list[dict[str, Any]]:
    """The rows of ordinal models with the predictor and covariates of a plan of change."""
    rows: list[dict[str, Any]] = []
    for subset in subsets(cohort):
        inside = sample.within(subset)
        for method in cohort.model_methods:
            model = plan.design(inside, ordinal.OUTCOME, method)
            used = fit.listwise(model.columns)
            missing = fit.missing(model.columns, used)
            complete = {name: values[used] for name, values in model.columns.items()}
            for threshold, least in ordinal.THRESHOLDS.items():
                key = {"method": method, "threshold": threshold, "subset": subset, "sessions": pair}
                terms = ordinal.terms(model.predictors, complete, least, missing)
                rows += [key | row | model.told() for row in terms]
    adjust(rows, {"p_fdr": ("threshold", "subset")}, {"term": plan.predictor})
    if plan.measure in models.SIGNED:
        signs.warn(rows, ordinal.OUTCOME)
    return rows


def section(tables: Tables) -> Section:
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
        for (subset, variant), tested_alike in tested.groupby(["subset", "sensitivity"], sort=False):
            name = f"{subset}, {clinical.VARIANTS.get(str(variant), str(variant))}"
            parts.append(f"{int((tested_alike['p_fdr'] < clinical.ALPHA).sum())} of {len(tested_alike)} ({name})")
        section.says.append(f"Models with a corrected p below 0.05: {listed(parts, 8)}.")
    ordinal = tables.get("ordinal", ("method", "threshold", "term", "estimate", "p_fdr"))
    ordinal = ordinal[ordinal["term"] == "delta_volume_ml"].dropna(subset=["p_fdr"])
    if len(ordinal):
        below = int((ordinal["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"Ordinal models of the EDSS categories with a corrected p below 0.05: {below} of {len(ordinal)}."
        )
        broken = ordinal[ordinal["p_po"] < clinical.ALPHA] if "p_po" in ordinal.columns else ordinal.iloc[:0]
        if len(broken):
            names = [_which(row) for row in broken.to_dict("records")]
            section.warnings.append(
                f"Odds are not proportional (Brant's test, p below 0.05, not corrected) for {listed(names, 8)}: one "
                "odds ratio stands for two that differ."
            )
        rows = [
            [
                look.label(r["method"]),
                clinical.THRESHOLDS.get(r["threshold"], str(r["threshold"])),
                remark(r.get("subset")),
                number(r["estimate"]),
                interval(r.get("ci_low"), r.get("ci_high")),
                p_value(r["p_fdr"]),
                " / ".join(number(r.get(c), 0) for c in ("n_improved", "n_stable", "n_worse")),
                p_value(r.get("p_po")),
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
            "p of proportional odds",
        ]
        section.tables.append(PageTable("Ordinal models", header, rows, tables.file("ordinal")))
    section.caveats.append(
        "Clipping is done on the change of volume (numpy's linear quantiles), before rows are dropped."
    )
    return section


def _which(row: dict[str, Any]) -> str:
    """A model in words."""
    categories = clinical.THRESHOLDS.get(row["threshold"], str(row["threshold"]))
    return f"{look.label(row['method'])} ({categories}, {remark(row.get('subset'))})"


ANALYSIS = Analysis("ordinal", tables, ledgers, sections={"sensitivity": section}, told=("ordinal",))
