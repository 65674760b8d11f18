"""Single people on whom a result rests: named, and every model fitted with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thalbids.bids.tabular.own import OUTCOMES
from thalbids.bids.tabular.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON, SESSIONS
from thalbids.group.modelling.models import Plan
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import Sample, baseline, pairs, wide
from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.fits.influence import influence, robust_z
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, number, p_value
from thalbids.reports.group.section import PageTable, Section, counted

LOGGED = ("t25fw", "nhpt")
BELLS = tuple(name for name in OUTCOMES if name != "edss")  # scores in which a robust z means something
LEAST = 10  # values that a robust z needs; of fewer, normal ones lie beyond 5 in up to a fifth of the samples
_ANALYSIS = {"analysis": column("Analysis", "crosssectional or longitudinal: the models of the table of that name.")}
_OUTCOME = {"outcome": column("Outcome", "Outcome of the model.")}

OUTLIERS: dict[str, Column] = {
    **PARTICIPANT,
    "variable": column(
        "Variable",
        "What stands out: volume_ml at baseline, delta_percent between the sessions, a score at baseline, or the "
        "change of one (d_).",
    ),
    **METHOD,
    **SESSIONS,
    "value": column("Value", "In the units of the variable; the natural logarithm of t25fw and nhpt."),
    "median": column("Median", "Of everybody."),
    "robust_z": column("Robust z", "(value - median) / (1.4826 x median absolute deviation), of at least 10 values."),
}
INFLUENCE: dict[str, Column] = {
    **_ANALYSIS,
    **_OUTCOME,
    **METHOD,
    **SESSIONS,
    **PARTICIPANT,
    "leverage": column("Leverage", "Diagonal of the hat matrix, from 1/n to 1."),
    "cook": column("Cook's distance", "How far all fitted values move without the person."),
    "dfbetas": column(
        "DFBETAS", "By how many standard errors the person raises the coefficient of the volume (negative: lowers)."
    ),
    "studentised": column("Studentised residual", "Externally studentised."),
    "named_for": column("Named for", "What lies beyond its limit: leverage, cook, volume or outcome (robust z)."),
    **CHANGE_MEASURE,
}
MODELS: dict[str, Column] = {
    **_ANALYSIS,
    **_OUTCOME,
    **METHOD,
    **SESSIONS,
    "n": count("Number of rows", "In the model of everybody."),
    "estimate": column("Coefficient", "Of the volume, in the model of everybody."),
    "ci_low": column("Lower bound", "Of its 95 % interval."),
    "ci_high": column("Upper bound", "Of its 95 % interval."),
    "p": column("p value", "Of everybody."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the methods x outcomes; of everybody."),
    "n_removed": count("Left out", "People named for this model."),
    "removed": column("Who was left out", "Their labels."),
    "estimate_without": column("Coefficient without them", "The same model without the people named."),
    "ci_low_without": column("Lower bound without them", "Of its 95 % interval."),
    "ci_high_without": column("Upper bound without them", "Of its 95 % interval."),
    "p_without": column("p value without them", "Two-sided."),
    "p_fdr_without": column("Adjusted p value without them", "Over the same methods x outcomes."),
    "turns": column(
        "What turns",
        "What differs without them: sign (of a coefficient whose p is below 0.05 with or without them), significance "
        "(corrected p below 0.05 or not), both, or n/a for nothing.",
    ),
    "largest_cook": column("Largest Cook's distance", "Of anybody in the model."),
    "largest_leverage": column("Largest leverage", "Of anybody in the model."),
    **REASON,
    **CHANGE_MEASURE,
}


@dataclass(frozen=True)
class _Limits:
    z: float
    cook: float
    leverage: float


def tables(cohort: Cohort) -> list[Table]:
    """``group_outliers``, ``group_influence`` and ``group_influence_models``."""
    checks = cohort.settings.checks
    limits = _Limits(checks.outlier_z, checks.cook, checks.leverage)
    named: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    for of_measure, plan, sample, pair in _plans(cohort):
        for outcome in plan.outcomes:
            for method in of_measure.model_methods:
                people, model = _model(plan, sample, outcome, method, limits)
                key = {"analysis": plan.analysis, "outcome": outcome, "method": method, "sessions": pair}
                named += [key | row for row in people]
                models.append(key | model)
    models = with_measure(models)
    adjust(models, {"p_fdr": ("analysis", "sessions", "change_measure")})
    _adjust_without(models)
    for row in models:
        row["turns"] = _turns(row)
    choices = {"outlier_z": limits.z, "cook": limits.cook, "leverage": f"at least {limits.leverage}, and 3 k / n"}
    far = outliers(cohort, limits.z)
    return [
        table("group_outliers", far, OUTLIERS, settings=choices, notes=_told(far)),
        table("group_influence", with_measure(named), INFLUENCE, settings=choices),
        table("group_influence_models", models, MODELS, settings=choices, notes=_warned(models)),
    ]


def outliers(cohort: Cohort, limit: float) -> list[dict[str, Any]]:
    """Values whose robust z lies beyond the limit."""
    rows = []
    for sample, pair, variable, method, values in _values(cohort):
        z = distance(values)
        for i in np.flatnonzero(np.abs(z) > limit):
            rows.append(
                {
                    "participant_id": sample.table["participant_id"].iloc[i], "variable": variable, "method": method,
                    "sessions": pair, "value": float(values[i]), "median": float(np.nanmedian(values)),
                    "robust_z": float(z[i]),
                }
            )  # fmt: skip
    return rows


def distance(values: np.ndarray) -> np.ndarray:
    """The robust z of each value; NaN where there are fewer than `LEAST`."""
    return robust_z(values) if np.isfinite(values).sum() >= LEAST else np.full(values.shape, np.nan)


def _values(cohort: Cohort) -> Iterator[tuple[Sample, str, str, str, np.ndarray]]:
    """Every variable in which somebody may stand out."""
    first = baseline(cohort)
    for method in cohort.methods:
        yield first, "", "volume_ml", method, first.volumes["total"][method].to_numpy(dtype=np.float64)
    scores = first.columns(BELLS)
    for name, values in scores.items():
        yield first, "", name, "", np.log(np.where(values > 0, values, np.nan)) if name in LOGGED else values
    for of_measure, pair in longitudinal.measures_of(cohort):
        sample = pairs(of_measure, pair)
        base = wide(of_measure, sample.table["participant_id"], sample.table["session_id_baseline"])
        percent = 100 * sample.volumes["total"] / base.where(base > 0)
        for method in of_measure.methods:
            yield sample, pair, "delta_percent", method, percent[method].to_numpy(dtype=np.float64)
        for name, values in sample.columns([f"d_{name}" for name in BELLS]).items() if of_measure is cohort else ():
            yield sample, pair, name, "", values


def _plans(cohort: Cohort) -> Iterator[tuple[Cohort, Plan, Sample, str]]:
    yield cohort, crosssectional.plan(cohort), baseline(cohort), ""
    for of_measure, pair in longitudinal.measures_of(cohort):
        yield of_measure, longitudinal.plan(of_measure), pairs(of_measure, pair), pair


def _model(
    plan: Plan, sample: Sample, outcome: str, method: str, limits: _Limits
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The people named for a model, and the model with and without them.

    Of an outcome with proportional odds, leverage and distance are those of least squares on its ranks; the models with
    and without the people are those of the main table.
    """
    planned = plan.design(sample, outcome, method)
    columns, predictors = planned.columns, planned.predictors
    whole = plan.fitted(planned)
    used = fit.listwise(columns)
    rows = {name: values[used] for name, values in columns.items()}
    if fit.missing(columns, used) or fit.unfit(outcome, predictors, rows):
        return [], _row(whole) | {"reason": whole.reason}
    X = np.column_stack([*(rows[name] for name in predictors), np.ones(int(used.sum()))])
    influences = influence(X, rows[outcome])
    n, k = X.shape
    beyond = {
        "leverage": influences.leverage >= max(limits.leverage, 3 * k / n),
        "cook": influences.cook >= limits.cook,
        "volume": np.abs(distance(columns[plan.predictor])[used]) > limits.z,
        "outcome": (np.abs(distance(columns[outcome])[used]) > limits.z) & (_score(outcome) in BELLS),
    }
    out = np.any(list(beyond.values()), axis=0)
    people = sample.table["participant_id"].to_numpy(dtype=object)[used]
    numbers = {"leverage": influences.leverage, "cook": influences.cook, "dfbetas": influences.dfbetas}
    numbers |= {"studentised": influences.studentised}
    named = [
        {"participant_id": people[i], "named_for": " ".join(name for name, mask in beyond.items() if mask[i])}
        | {name: float(values[i]) for name, values in numbers.items()}
        for i in np.flatnonzero(out)
    ]
    largest = {"largest_cook": _largest(influences.cook), "largest_leverage": _largest(influences.leverage)}
    model = _row(whole) | largest | {"n_removed": int(out.sum()), "removed": " ".join(people[out])}
    model["reason"] = whole.reason
    if not out.any():
        return [], model | {f"{name}_without": model[name] for name in ("estimate", "ci_low", "ci_high", "p")}
    rest = plan.fitted(replace(planned, columns={name: values[~out] for name, values in rows.items()}))
    without = {f"{name}_without": value for name, value in _row(rest).items() if name != "n"}
    return named, model | without | {"reason": whole.reason or rest.reason}


def _row(fitted: fit.Fitted) -> dict[str, Any]:
    main = fitted.terms[0]
    return {"n": fitted.n, "estimate": main.estimate, "ci_low": main.ci_low, "ci_high": main.ci_high, "p": main.p}


def _largest(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.max()) if there.size else float("nan")


def _adjust_without(models: list[dict[str, Any]]) -> None:
    """``p_fdr_without`` over the same families as ``p_fdr``."""
    rows = [{**row, "p": row.get("p_without", float("nan"))} for row in models]
    adjust(rows, {"p_fdr_without": ("analysis", "sessions", "change_measure")})
    for row, adjusted in zip(models, rows, strict=True):
        row["p_fdr_without"] = adjusted["p_fdr_without"]


def _score(outcome: str) -> str:
    return outcome.removeprefix("d_")


def _turns(row: dict[str, Any]) -> str:
    """What differs between the model with and without the people named; the sign counts where one p is below 0.05."""
    if not row.get("n_removed") or not np.isfinite([row["estimate"], row["estimate_without"]]).all():
        return ""
    seen = min(row["p"], row["p_without"]) < clinical.ALPHA
    turned = ["sign"] if seen and row["estimate"] * row["estimate_without"] < 0 else []
    if (row["p_fdr"] < clinical.ALPHA) != (row["p_fdr_without"] < clinical.ALPHA):
        turned.append("significance")
    return " ".join(turned)


def _told(far: list[dict[str, Any]]) -> list[str]:
    """The people who stand out, for the terminal."""
    if not far:
        return []
    worst = sorted(far, key=lambda row: -abs(row["robust_z"]))
    words = [f"{row['participant_id']} ({_what(row)}, robust z {row['robust_z']:.0f})" for row in worst]
    people = len({row["participant_id"] for row in far})
    return [f"warning: values far from the others in {counted_people(people)}: {listed(words, 5)}."]


def _what(row: dict[str, Any]) -> str:
    return " ".join(text for text in (str(row["variable"]), str(row["method"] or "")) if text)


def counted_people(n: int) -> str:
    """A number of people in words."""
    return "1 person" if n == 1 else f"{n} people"


def _warned(models: list[dict[str, Any]]) -> list[str]:
    turned = [row for row in models if row["turns"]]
    if not turned:
        return []
    words = [f"{row['outcome']} ({row['method']}: {row['turns']}, without {row['removed']})" for row in turned]
    verb = "rests" if len(turned) == 1 else "rest"
    return [f"warning: {counted(len(turned), 'model')} {verb} on single people: {listed(words, 5)}."]


NOBODY = "Nobody stands out by a value or in a model."


def section(tables: Tables) -> Section:
    """Who stands out, and what rests on them."""
    section = Section("influence", "Influence of single people")
    models = tables.get("influence_models", ("analysis", "outcome", "method", "estimate", "n_removed", "turns"))
    if models["estimate"].notna().sum() == 0:
        section.nothing = "No model could be fitted whose people could be looked at."
        return section
    far = tables.get("outliers", ("participant_id", "variable", "robust_z"))
    named = tables.get("influence", ("participant_id", "cook", "outcome", "method"))
    people = list(dict.fromkeys([*far["participant_id"], *named["participant_id"]]))
    turned = models[models["turns"].notna()]
    for row in turned.head(6).to_dict("records"):
        section.warnings.append(
            f"{clinical.outcome_name(row['outcome'])}, {look.label(row['method'])}: the {_words(row['turns'])} "
            f"with {row['removed']} left out: β {number(row['estimate'], 3)} (p corrected {p_value(row['p_fdr'])}) "
            f"becomes {number(row['estimate_without'], 3)} ({p_value(row['p_fdr_without'])})."
        )
    fitted = int(models["estimate"].notna().sum())
    section.says.append(
        (
            f"{counted_people(len(people))} stand out by a value or in a model: {listed(people, 12)}."
            if people
            else NOBODY
        )
        + f" {len(turned)} of {counted(fitted, 'model')} change sign or corrected significance without them."
    )
    if len(far):
        rows = [
            [row["participant_id"], _variable(row), number(row["value"]), number(row["median"]),
             number(row["robust_z"], 1)]
            for row in far.sort_values("robust_z", key=abs, ascending=False).to_dict("records")
        ]  # fmt: skip
        header = ["Participant", "Variable", "Value", "Median of all", "Robust z"]
        section.tables.append(PageTable("Values far from the others", header, rows, tables.file("outliers")))
    touched = models[models["n_removed"].fillna(0) > 0]
    if len(touched):
        section.tables.append(_shown(tables, touched))
    section.caveats.append(
        "A person who stands out is no error by that alone: look at the images and the record first, and decide before "
        "the result is known. The main models hold everybody."
    )
    return section


def _words(turns: str) -> str:
    return {"sign": "sign turns", "significance": "significance changes"}.get(turns, "sign and significance change")


def _variable(row: dict[str, Any]) -> str:
    names = {"volume_ml": "Volume (mL)", "delta_percent": "Change (%)"}
    name = names.get(row["variable"], clinical.outcome_name(row["variable"]))
    log = " (log)" if row["variable"] in LOGGED else ""
    return f"{name}{log}, {look.label(row['method'])}" if isinstance(row.get("method"), str) else f"{name}{log}"


def _shown(tables: Tables, touched: Any) -> PageTable:
    rows = [
        [
            clinical.outcome_name(row["outcome"]),
            look.label(row["method"]),
            f"{number(row['estimate'], 3)} {interval(row['ci_low'], row['ci_high'], 3)}",
            p_value(row["p_fdr"]),
            f"{number(row['estimate_without'], 3)} {interval(row['ci_low_without'], row['ci_high_without'], 3)}",
            p_value(row["p_fdr_without"]),
            str(row["removed"]),
            number(row["largest_cook"]),
            "" if row["turns"] != row["turns"] else str(row["turns"]),
        ]
        for row in touched.to_dict("records")
    ]
    header = ["Outcome", "Method", "β", "p corrected", "β without", "p corrected without", "Left out",
              "Largest Cook", "Turns"]  # fmt: skip
    return PageTable("Models with and without the people named", header, rows, tables.file("influence_models"))


ANALYSIS = Analysis(
    "influence", tables, sections={"influence": section}, told=("outliers", "influence", "influence_models")
)
