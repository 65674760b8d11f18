"""The clinical models with missing values imputed many times, beside those of the people who lack nothing."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.errors import UsageError, some
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import ESTIMATE, FITTED, FORMULA, METHOD, OUTCOME, REASON, SESSIONS, SUBSET, TERM
from thalbids.group.modelling.design import Design
from thalbids.group.modelling.models import Plan, Rows
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import Sample, baseline, pairs, subsets
from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.fits.imputation import Imputed, impute, pooled
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, number, p_value
from thalbids.reports.group.section import PageTable, Section, counted, remark

OTHERS = "other_methods"  # the size of the thalamus by the other methods
IMPUTED: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the models of the table of that name."),
    **OUTCOME,
    **METHOD,
    **SUBSET,
    **SESSIONS,
    **{name: FITTED[name] for name in ("transform", "cov_type")},
    **TERM,
    **ESTIMATE,
    "df": column("Degrees of freedom", "Barnard and Rubin 1999; of the t distribution of statistic, p and interval."),
    "p_fdr": FITTED["p_fdr"],
    "p_fdr_outcome": FITTED["p_fdr_outcome"],
    "fmi": column("Missing information", "Fraction of the information on the coefficient that is missing."),
    "n": count("Number of rows", "Participants (pairs of visits) of the model, imputed values included."),
    "n_imputed": count("Number with imputed values", "Those of them who lack a value of the model."),
    "estimate_complete": column("Coefficient without imputation", "Of those who lack nothing, as in the main table."),
    "p_complete": column("p without imputation", "Of those who lack nothing."),
    "p_fdr_complete": column("Adjusted p without imputation", "Over the same family."),
    "n_complete": count("Number who lack nothing", "Rows of the model without imputation."),
    "helped": column("Variables", "Variables of the imputation; other_methods: mean volume by the others, each in SD."),
    **REASON,
    **FORMULA,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_imputed``, when the settings ask for it.

    Raises
    ------
    UsageError
        One imputation alone is asked for.
    """
    group = cohort.settings.group
    if not group.imputations:
        return []
    if group.imputations == 1:
        raise UsageError("Rubin's rules need two imputations and more.", "Set group.imputations to 20, or to 0.")
    rows = [
        row
        for of_measure, plan, sample, pair in _models(cohort)
        for row in rows_of_plan(of_measure, plan, sample, pair)
    ]
    choices = {
        "imputations": group.imputations,
        "cycles": group.imputation_cycles,
        "donors": group.imputation_donors,
        "seed": cohort.settings.run.seed,
        "method": "predictive mean matching in chained equations; pooled by Rubin's rules with Barnard and Rubin's df",
    }
    return [table("group_imputed", with_measure(rows), IMPUTED, settings=choices, notes=notes(rows))]


def _models(cohort: Cohort) -> Iterator[tuple[Cohort, Plan, Sample, str]]:
    """Those of the main tables, each with its cohort: changes by registration last."""
    if cohort.model_methods:
        yield cohort, crosssectional.plan(cohort), baseline(cohort), ""
    for of_measure, pair in longitudinal.measures_of(cohort):
        if of_measure.model_methods:
            yield of_measure, longitudinal.plan(of_measure), pairs(of_measure, pair), pair


def rows_of_plan(cohort: Cohort, plan: Plan, sample: Sample, pair: str) -> Rows:
    """Every term of every model of a plan: methods x outcomes within each subset."""
    imputed: Rows = []
    for subset in subsets(cohort):
        inside = sample.within(subset)
        for method in cohort.model_methods:
            designs = {outcome: plan.design(inside, outcome, method) for outcome in plan.outcomes}
            alike: dict[tuple[object, ...], Imputed] = {}  # models with the same right-hand side share an imputation
            for outcome, model in designs.items():
                right = (*model.predictors, *model.levels.values())
                if right not in alike:
                    seed = cohort.settings.run.seed, zlib.crc32(f"{plan.analysis} {pair} {subset} {method}".encode())
                    alike[right] = _impute(cohort, plan, inside, designs, model, method, seed)
                key = {"analysis": plan.analysis, "outcome": outcome, "method": method, "subset": subset}
                rows = _model(plan, inside, model, alike[right])
                imputed += [key | {"sessions": pair} | row for row in rows]
    volume = {"term": plan.predictor}
    adjust(imputed, {"p_fdr": ("subset",), "p_fdr_outcome": ("subset", "outcome")}, volume)
    complete = [{"p": row["p_complete"], "subset": row["subset"], "term": row["term"]} for row in imputed]
    adjust(complete, {"p_fdr_complete": ("subset",)}, volume)
    for row, other in zip(imputed, complete, strict=True):
        row["p_fdr_complete"] = other.get("p_fdr_complete", math.nan)
    return imputed


def _impute(
    cohort: Cohort,
    plan: Plan,
    sample: Sample,
    designs: dict[str, Design],
    model: Design,
    method: str,
    seed: tuple[int, int],
) -> Imputed:
    """The variables of these models, and what helps: other outcomes, other methods, scores at baseline."""
    group = cohort.settings.group
    blocks = {plan.predictor: {plan.predictor: model.columns[plan.predictor]}}
    for name in model.covariates:
        blocks[name] = {
            key: values for key, values in model.columns.items() if key == name or key.startswith(f"{name}[")
        }
    needed = tuple(blocks)
    blocks |= {name: {name: design.columns[name]} for name, design in designs.items()}
    scores = sample.columns([f"{name.removeprefix('d_')}_baseline" for name in plan.outcomes if name[:2] == "d_"])
    blocks |= {name: {name: values} for name, values in scores.items() if name not in blocks}
    others = _others(sample, plan.measure, method, cohort.model_methods)
    if others is not None:
        blocks[OTHERS] = {OTHERS: others}
    return impute(
        blocks, needed, group.imputations, seed, cycles=group.imputation_cycles, donors=group.imputation_donors
    )


def _others(sample: Sample, measure: str, method: str, methods: tuple[str, ...]) -> np.ndarray | None:
    """Mean of the other methods' volumes, each in its SD; None where there are none."""
    z = [fit.z_score(sample.volumes[measure][name].to_numpy(dtype=np.float64)) for name in methods if name != method]
    z = [values for values in z if np.isfinite(values).any()]
    if not z:
        return None
    stacked = np.stack(z)
    n = np.isfinite(stacked).sum(axis=0)
    mean: np.ndarray = np.where(n > 0, np.nansum(stacked, axis=0) / np.maximum(n, 1), np.nan)
    return mean


def _model(plan: Plan, sample: Sample, model: Design, imputed: Imputed) -> Rows:
    """The terms of one model, pooled; or without numbers and with a reason."""
    complete = plan.fitted(model)
    names = (model.outcome, *model.predictors)
    told = {**model.told(), "helped": " ".join(imputed.used)}
    kind = {"transform": "log" if model.logged else "ordinal" if model.outcome in plan.levels else "none"}
    used = _asked(sample, model)
    missing = ~fit.listwise({name: model.columns[name] for name in names})
    size = {"n": int(used.sum()), "n_imputed": int((used & missing).sum()), "n_complete": complete.n}
    reason = imputed.reason
    if not reason and model.outcome not in imputed.columns:
        reason = f"{model.outcome} is known of too few people to be imputed"
    fits: list[fit.Fitted] = []
    if not reason:
        for number_ in range(len(imputed.columns[model.outcome])):
            columns = {name: imputed.columns[name][number_][used] for name in names}
            fits.append(plan.fitted(replace(model, columns=columns)))
        reason = next((one.reason for one in fits if one.reason), "")
    rows = []
    for place, term in enumerate(complete.terms):
        row = {"term": term.name, "estimate_complete": term.estimate, "p_complete": term.p, "p": math.nan}
        row |= {"estimate": math.nan, "cov_type": complete.cov_type, "reason": reason, **size, **kind, **told}
        if not reason:
            values = np.array([(one.terms[place].estimate, one.terms[place].se) for one in fits])
            df = fits[0].n - len(complete.terms)
            row |= vars(pooled(values[:, 0], values[:, 1] ** 2, df))
        rows.append(row)
    return rows


def _asked(sample: Sample, model: Design) -> np.ndarray:
    """Whether a value that a row lacks could be there: somebody with the same diagnosis has it (controls often have
    no EDSS, nobody asked them).
    """
    diagnosis = sample.table["diagnosis"].to_numpy(dtype=object)
    asked = np.ones(len(diagnosis), dtype=bool)
    for group in {name for name in diagnosis if name}:
        of_group = diagnosis == group
        if any(not np.isfinite(model.columns[name][of_group]).any() for name in (model.outcome, *model.predictors)):
            asked[of_group] = False
    return asked


def notes(rows: Rows) -> list[str]:
    """What imputation changes, and what could not be imputed, in sentences."""
    volume = [row for row in rows if row["term"] in clinical.VOLUME_TERMS.values() and row["subset"] == "all"]
    changed = [f"{row['outcome']} ({row['method']})" for row in volume if changes(row)]
    failed = [row for row in volume if row["reason"]]
    lines = []
    if changed:
        lines.append(
            f"warning: with missing values imputed, significance or sign changes in {counted(len(changed), 'model')}: "
            f"{some(changed)}."
        )
    if failed:
        lines.append(f"imputation: {len(failed)} of {len(volume)} models have none ({failed[0]['reason']}).")
    return lines


def changes(row: Any) -> bool:
    """Whether corrected significance, or the sign of what is significant, differs from the model without imputation."""
    if not math.isfinite(row["estimate"]) or not math.isfinite(row["estimate_complete"]):
        return False
    before, after = row["p_fdr_complete"] < clinical.ALPHA, row["p_fdr"] < clinical.ALPHA
    turned = (row["estimate"] > 0) != (row["estimate_complete"] > 0)
    return bool(before != after or ((before or after) and turned))


def section(tables: Tables) -> Section:
    """The models with and without imputation."""
    section = Section("imputed", "Missing values imputed")
    table = tables.get("imputed", tuple(IMPUTED))
    table = table[(table["subset"] == "all") & table["term"].isin(list(clinical.VOLUME_TERMS.values()))]
    if table.empty:
        section.nothing = "Multiple imputation was not asked for (setting group.imputations)."
        return section
    rows = table.to_dict("records")
    fitted = [row for row in rows if math.isfinite(row["estimate"])]
    changed = [row for row in fitted if changes(row)]
    if fitted:
        most = max(fitted, key=lambda row: row["fmi"])
        text = (
            f"With missing values imputed, the conclusion changes in {len(changed)} of {counted(len(fitted), 'model')}"
        )
        names = [f"{clinical.outcome_name(row['outcome'])} by {look.label(row['method'])}" for row in changed]
        section.says.append(text + (f": {listed(names, 6)}." if names else "."))
        section.says.append(
            f"At most {number(100 * most['fmi'], 0)} % of the information on a coefficient is missing "
            f"({clinical.outcome_name(most['outcome'])} by {look.label(most['method'])})."
        )
    section.tables.append(
        PageTable("The volume's coefficient with and without imputation", HEADER, _cells(rows), tables.file("imputed"))
    )
    section.caveats.append(
        "Imputation takes values to be missing at random given the variables that it knows: the model, the other "
        "scores, and the volume by other methods. Where the missing value itself decides, it is biased too."
    )
    return section


HEADER = ["Outcome", "Method", "β", "95 % interval", "p corrected", "n (imputed)", "Missing information", "β without",
          "p corrected without", "n without", "Remark"]  # fmt: skip


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            clinical.outcome_name(row["outcome"]),
            look.label(row["method"]),
            number(row["estimate"], 3),
            interval(row["ci_low"], row["ci_high"], 3),
            p_value(row["p_fdr"]),
            f"{number(row['n'], 0)} ({number(row['n_imputed'], 0)})",
            "–" if not math.isfinite(row["fmi"]) else f"{number(100 * row['fmi'], 0)} %",
            number(row["estimate_complete"], 3),
            p_value(row["p_fdr_complete"]),
            number(row["n_complete"], 0),
            remark(row["reason"]),
        ]
        for row in rows
    ]


ANALYSIS = Analysis("imputed", tables, sections={"imputed": section}, told=("imputed",))
