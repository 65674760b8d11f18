"""Volumes and clinical scores: cross-sectional, longitudinal, and whether the result stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.reports.group import signs
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, methods_in, number, p_value, rows_of
from thalbids.reports.group.sections.base import Section, Shown, count, remark

if TYPE_CHECKING:
    import pandas as pd


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
        text = f"{len(below)} of {count(len(tested), 'model')} have a corrected p below 0.05"
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
        section.warnings.append(f"{count(len(failed), 'model')} could not be fitted{why}.")
    odd = table[np.array([_unexpected(row) for row in table.to_dict("records")], dtype=bool)]
    if len(odd):
        outcomes = [clinical.outcome_name(o) for o in clinical.outcomes_in(odd)]
        section.warnings.append(
            f"Counter-intuitive sign: for {listed(outcomes, 6)}, {count(len(odd), 'model')} say that more thalamus "
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
                remark(row.get("reason")),
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
                remark(r.get("subset")),
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
