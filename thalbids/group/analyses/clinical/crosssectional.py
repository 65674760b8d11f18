"""Clinical scores against thalamus volume at baseline (paper, 2.7.4 and 3.4)."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.errors import some
from thalbids.group.analysis import Analysis
from thalbids.group.statistics.fits import signs
from thalbids.reports.group.beyond import unfitted
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, by_keys, interval, listed, methods_in, number, p_value, rows_of
from thalbids.reports.group.section import PageTable, Section, by_measure, counted, remark

if TYPE_CHECKING:
    import pandas as pd

    from thalbids.settings import Group

from thalbids.bids.tabular.tables import Column, Table, table
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FITTED, MEASURE, METHOD, OUTCOME, SENSITIVITY, SUBSET
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.modelling.models import Plan
from thalbids.group.modelling.samples import baseline

CROSSSECTIONAL: dict[str, Column] = {**OUTCOME, **METHOD, **SUBSET, **SENSITIVITY, **MEASURE, **FITTED}


def tables(cohort: Cohort) -> list[Table]:
    """``group_crosssectional``, and the ledger."""
    rows = fitted(cohort)
    lost = ledgers(cohort)
    notes = [*models.left_out_notes("crosssectional", rows), *models.costly_notes(lost), *warned(rows)]
    told = table("group_crosssectional", rows, CROSSSECTIONAL, settings=choices(cohort), notes=notes)
    return [told, missing_table(after_fit(lost, rows))]


@functools.lru_cache(maxsize=4)
def fitted(cohort: Cohort) -> models.Rows:
    """The rows of ``group_crosssectional``. Not to be changed."""
    return models.rows(plan(cohort), cohort, baseline(cohort))


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many rows each model has, without fitting it."""
    return models.ledgers(plan(cohort), cohort, baseline(cohort))


def plan(cohort: Cohort, measure: str = "total") -> Plan:
    """Outcome ~ volume + age + sex + z(ICV), or what the settings say."""
    return of_settings(cohort.settings.group, measure, sites.modelled(cohort))


def of_settings(group: Group, measure: str = "total", site: bool = False) -> Plan:
    """The plan without a look at data; ``site`` adds the site."""
    return Plan(
        analysis="crosssectional" if measure == "total" else f"crosssectional_{measure}",
        outcomes=group.outcomes,
        predictor="asymmetry" if measure == "asymmetry" else "volume_ml",
        covariates=tuple(dict.fromkeys((*group.covariates, *group.extra_covariates))),
        logged=_plain(group.log, group),
        measure=measure,
        **shared(group, site),
    )


def shared(group: Group, site: bool) -> dict[str, Any]:
    """What plans of clinical models have in common, by the settings."""
    return {
        "robust": _plain(group.hc3, group),
        "reference": group.hc3_reference,
        "levels": group.ordinal,
        "strict": group.strict,
        "smallest": group.smallest_level,
        "site": site,
    }


def _plain(outcomes: Sequence[str], group: Group) -> tuple[str, ...]:
    """Those of the outcomes that proportional odds do not model."""
    return tuple(name for name in outcomes if name not in group.ordinal)


def choices(cohort: Cohort) -> dict[str, Any]:
    """The choices behind the table, for its JSON."""
    group = cohort.settings.group
    planned = plan(cohort)
    return {
        "model": "outcome ~ volume + " + " + ".join(planned.covariates),
        "site": "a covariate" if planned.site else "no covariate",
        "strict": group.strict,
        "smallest_level": group.smallest_level,
        "log": list(planned.logged),
        "HC3": [name for name in planned.robust if name in planned.outcomes],
        "HC3_reference": group.hc3_reference,
        "ordinal": [name for name in group.ordinal if name in planned.outcomes],
        "methods": list(cohort.model_methods),
        "methods_left_out": [name for name in cohort.methods if name not in cohort.model_methods],
        "family_of_p_fdr": "methods x outcomes of a subset; p_fdr_outcome: the methods of an outcome",
        "icv": group.icv,
        "harmonise": group.harmonise,
    }


def warned(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for the terminal when estimates have the opposite sign of what is expected."""
    concerned = sorted({f"{row['outcome']} ({row['method']})" for row in rows if row.get("warning")})
    return [f"warning: counter-intuitive sign, see the column warning: {some(concerned)}."] if concerned else []


def section(tables: Tables) -> Section:
    """Volumes and clinical scores at the first visit."""
    section = Section("crosssectional", "Clinical scores and volume, cross-sectional")
    table = clinical.volume_rows(tables, "crosssectional", subset="all")
    if table.empty:
        section.nothing = "No cross-sectional model could be planned: clinical scores, age, sex or volumes are missing."
    elif why := unfitted(table):
        section.nothing = f"No cross-sectional model could be fitted: {why}."
    if section.nothing:
        return section
    section.add(clinical.forest(tables, "crosssectional", "Coefficients of the volume", "crosssectional", subset="all"))
    show_models(section, tables, table, "crosssectional")
    show_subsets(section, tables, "crosssectional")
    show_residuals(section, tables, "crosssectional")
    section.caveats.append(
        "A stronger association supports a method, it does not prove that its masks are better: disease heterogeneity, "
        "global atrophy and noisy scores act too."
    )
    return section


def show_subsets(section: Section, tables: Tables, name: str) -> None:
    """The same models within a diagnosis group: a figure, and coefficients of methods times outcomes."""
    table = clinical.volume_rows(tables, name, sensitivity="none")
    for subset in [one for one in dict.fromkeys(table["subset"].dropna()) if one != "all"]:
        of_subset = rows_of(table, subset=subset)
        title = f"Coefficients of the volume, {subset} only"
        section.add(clinical.forest(tables, name, title, f"{name}_{_file(subset)}", subset=subset))
        outcomes = clinical.outcomes_in(of_subset[of_subset["estimate"].notna()])
        rows = []
        for method in methods_in(of_subset):
            by_outcome = {row["outcome"]: row for row in rows_of(of_subset, method=method).to_dict("records")}
            rows.append([look.label(method), *(_coefficient(by_outcome.get(outcome)) for outcome in outcomes)])
        if outcomes:
            header = ["Method", *(clinical.outcome_name(outcome) for outcome in outcomes)]
            section.tables.append(PageTable(f"{subset} only: β (corrected p); n", header, rows, tables.file(name)))


def _file(subset: str) -> str:
    """A diagnosis group as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", subset)


def _coefficient(row: dict[str, Any] | None) -> str:
    if row is None or not np.isfinite(row["estimate"]):
        return "–"
    return f"{number(row['estimate'], 3)} ({p_value(row['p_fdr'])}); {number(row.get('n'), 0)}"


def show_residuals(section: Section, tables: Tables, analysis: str) -> None:
    """Residuals of the first method and of the models of a claim, and the numbers of all models."""
    section.add(clinical.residuals(tables, analysis), clinical.claimed(tables, analysis))
    needs = ("analysis", "outcome", "method", "transform", "n", "qq_r", "spread_rho", "claim")
    checks = rows_of(tables.get("residual_checks", needs), analysis=analysis)
    rows = [
        [
            clinical.outcome_name(row["outcome"]) + (" (log)" if row["transform"] == "log" else ""),
            look.label(row["method"]),
            number(row["n"], 0),
            number(row["qq_r"], 3),
            number(row["spread_rho"]),
            "yes" if str(row["claim"]).lower() == "true" else "no",
        ]
        for row in checks.to_dict("records")
    ]
    if rows:
        header = ["Outcome", "Method", "n", "r of Q-Q", "ρ of spread and fit", "Claim"]
        section.tables.append(PageTable("Residuals of every model", header, rows, tables.file("residual_checks")))


def show_models(section: Section, tables: Tables, table: pd.DataFrame, name: str) -> None:
    """Sentences, warnings and the table of the volume terms."""
    tested = table.dropna(subset=["p_fdr"])
    below = tested[tested["p_fdr"] < clinical.ALPHA]
    if len(tested):
        have = "has" if len(below) == 1 else "have"
        text = f"{len(below)} of {counted(len(tested), 'model')} {have} a corrected p below 0.05"
        outcomes = [clinical.outcome_name(o) for o in clinical.outcomes_in(below)]
        section.says.append(text + (f", for {listed(outcomes, 6)}." if outcomes else "."))
        section.caveats.append(
            f"p is corrected (Benjamini-Hochberg) over all {_families(tested)} of this section, methods times "
            "outcomes; the correction within each outcome stands beside it in the table."
        )
    failed = table[table["estimate"].isna()]
    if len(failed):
        reasons = failed["reason"].dropna().unique() if "reason" in failed.columns else []
        why = f" ({listed([str(r) for r in reasons], 4)})" if len(reasons) else ""
        section.warnings.append(f"{counted(len(failed), 'model')} could not be fitted{why}.")
    odd = table[np.array([_unexpected(row) for row in table.to_dict("records")], dtype=bool)]
    if len(odd):
        says = "the model says" if len(odd) == 1 else "models say"
        which = [
            f"{clinical.outcome_name(o)} ({listed(named(rows_of(odd, outcome=o)), 12)})"
            for o in clinical.outcomes_in(odd)
        ]
        section.warnings.append(
            f"Counter-intuitive sign: for {listed(which, 6)}, {says} that more thalamus goes "
            "with a worse score (corrected p below 0.05). The paper saw the same for the change "
            "of EDSS and takes it as exploratory: EDSS is ordinal and moved by relapses, volumes by water and "
            "inflammation (pseudoatrophy), and by measurement noise."
        )
    show_formulas(section, table)
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
                remark(row.get("reason")),
            ]
        )
    header = ["Outcome", "Method", "β", "95 % interval", "p", "p corrected", "p within outcome", "n", "R²", "Remark"]
    section.tables.append(
        PageTable("The volume's coefficient; every term is in the file", header, rows, tables.file(name))
    )


def _families(tested: pd.DataFrame) -> str:
    """How many models each family of the correction has, in words."""
    parts = by_measure(tested)
    if len(parts) == 1:
        return f"{len(tested)} models"
    return " and, as a family of its own, ".join(
        f"{len(part_rows)} models {'of change by registration' if words else 'of change of volumes'}"
        for words, part_rows in parts
    )


def named(table: pd.DataFrame) -> list[str]:
    """The methods of a table as people read them."""
    return [look.label(method) for method in methods_in(table)]


def show_formulas(section: Section, table: pd.DataFrame) -> None:
    """The models that were fitted, and a warning that comes first for covariates that were left out of some."""
    if not {"formula", "left_out", "cov_type", "transform"} <= set(table.columns):
        return
    fitted = table[table["estimate"].notna()]
    told = {
        "robust errors (HC3)": fitted[fitted["cov_type"] == "HC3"],
        "natural logarithm": fitted[fitted["transform"] == "log"],
        "proportional odds": fitted[fitted["transform"] == "ordinal"],
    }
    ways = [
        f"{what}: {listed([clinical.outcome_name(o) for o in clinical.outcomes_in(formulas)], 12)}"
        for what, formulas in told.items()
        if len(formulas)
    ]
    right = Counter(str(formula).split(" ~ ")[-1] for formula in fitted["formula"])
    shown = [f"outcome ~ {terms} ({counted(n, 'model')})" for terms, n in right.items()]
    if shown:
        section.caveats.append(f"Fitted: {listed(shown, 6)}{'; ' if ways else ''}{'; '.join(ways)}.")
    notes = models.left_out_notes(section.title, table.to_dict("records"))
    section.warnings[:0] = [f"The covariate {note.removeprefix(f'warning: {section.title}: ')}" for note in notes]


def _model_order(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    parts = by_keys(table, "outcome", "method")
    for outcome in clinical.outcomes_in(table):
        for method in methods_in(table):
            if (outcome, method) in parts:
                yield from parts[outcome, method].to_dict("records")


def _unexpected(row: dict[str, Any]) -> bool:
    """Whether the table's column ``warning`` says so too."""
    return bool(signs.warning(str(row["outcome"]), float(row["estimate"]), float(row["p_fdr"])))


ANALYSIS = Analysis("crosssectional", tables, ledgers, sections={"crosssectional": section}, told=("crosssectional",))
