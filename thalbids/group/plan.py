"""An analysis plan that is fixed before data are seen, and what a run did otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import thalbids
from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.errors import UsageError
from thalbids.files import read_json, write_json
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.modelling.models import Plan
from thalbids.settings import Settings, load

SECTIONS = ("methods", "group", "checks", "clinical", "ratings")  # settings that shape the numbers
UNPLANNED = {"ratings": ("files",)}  # not known before data are seen
EARLIER = {"group": {"registration": False}}  # what was so before a plan could say it; else as it is by default
VOLUMES_ALONE = "differences of volumes alone"
FORMAT = "thalbids analysis plan 1"
DEVIATIONS: dict[str, Column] = {
    "kind": column(
        "Kind",
        "What differs.",
        Levels={
            "version": "The program's version",
            "setting": "A setting of this run, which was not used: the plan's was",
            "model": "How a model is built",
            "test": "How something is tested, or which measures of change there are",
            "terms": "The terms of a model that was fitted",
            "not fitted": "A model of the plan that has no numbers",
        },
    ),
    "what": column("What", "The setting or the model."),
    "planned": column("Planned", "As the plan says."),
    "actual": column("Actual", "As it was, or why there is nothing."),
}


def planned(settings: Settings) -> dict[str, Any]:
    """The plan: every setting that shapes the numbers, and every main model, without a look at any data."""
    sections = {name: _plain(settings, name) for name in SECTIONS}
    checks = settings.checks
    return {
        "format": FORMAT,
        "version": thalbids.__version__,
        "seed": settings.run.seed,
        "settings": sections,
        "models": [_model(one, settings) for one in _plans(settings)],
        "tests": {
            "correction": "Benjamini-Hochberg over methods x outcomes of a subset (p_fdr), and over the methods of an "
            "outcome (p_fdr_outcome); on the term of the volume",
            "change": f"paired Wilcoxon of the percent change, {settings.group.wilcoxon}, every pair of methods",
            "groups": "analysis of covariance, "
            + (
                "every pair of groups"
                if checks.contrasts == "all"
                else f"each group against controls ({checks.controls})"
            ),
            "pbvc": "Pearson's r of percent change with PBVC; Williams, Steiger, Zou between methods",
            "measures_of_change": _measures(settings),
        },
    }


def _measures(settings: Settings) -> str:
    """What the plan says of changes by registration."""
    if not settings.group.registration:
        return VOLUMES_ALONE
    return (
        "differences of volumes, and changes by registration (METHOD_registration) in the same models and tests where "
        "they were measured, as a family of their own in every correction"
    )


def _plain(settings: Settings, name: str) -> dict[str, Any]:
    """A section of the settings as JSON has it, without what a plan cannot know."""
    values = asdict(getattr(settings, name))
    kept = {key: value for key, value in values.items() if key not in UNPLANNED.get(name, ())}
    plain: dict[str, Any] = json.loads(json.dumps(kept))
    return plain


def write(path: Path, settings: Settings) -> None:
    """Write the plan of these settings as JSON; an existing file is never replaced.

    Raises
    ------
    UsageError
        The file is there.
    """
    if path.exists():
        raise UsageError("the plan is there already, and a plan is not changed.", "Give another --plan FILE.", path)
    write_json(path, planned(settings), sort_keys=False)


def follow(path: Path, settings: Settings) -> tuple[Settings, dict[str, Any], list[dict[str, str]]]:
    """The settings of a run that follows a plan, the plan, and what differs from it before anything is computed.

    Raises
    ------
    UsageError
        The file is no plan of ours.
    """
    plan = _read(path)
    now = planned(settings)
    rows = []
    if plan["version"] != now["version"]:
        rows.append(_row("version", "thalbids", plan["version"], now["version"]))
    if plan["seed"] != now["seed"]:
        rows.append(_row("setting", "run.seed", plan["seed"], now["seed"]))
    for name in SECTIONS:
        usual = _plain(Settings(), name) | EARLIER.get(name, {})
        for key in {**plan["settings"].get(name, {}), **now["settings"][name]}:
            one, two = (source["settings"].get(name, {}).get(key, usual.get(key)) for source in (plan, now))
            if one != two:
                rows.append(_row("setting", f"{name}.{key}", one, two))
    told = {name: EARLIER.get(name, {}) | plan["settings"].get(name, {}) for name in SECTIONS}
    given = {name: {k: v for k, v in values.items() if v is not None} for name, values in told.items()}
    theirs = load(None, {**given, "run": {"seed": plan["seed"]}})
    changed = {name: getattr(theirs, name) for name in SECTIONS}
    changed["ratings"] = replace(changed["ratings"], files=settings.ratings.files)
    followed = replace(settings, run=replace(settings.run, seed=plan["seed"]), **changed)
    values = planned(followed)
    tests = {"measures_of_change": VOLUMES_ALONE, **plan["tests"]}
    for key, actual in values["tests"].items():
        if tests.get(key) != actual:
            rows.append(_row("test", key, tests.get(key, "not in the plan"), actual))
    ours = {model["analysis"]: model for model in values["models"]}
    for model in plan["models"]:
        for key, value in model.items():
            actual = ours.get(model["analysis"], {}).get(key)
            if actual != value:
                rows.append(_row("model", f"{model['analysis']}: {key}", value, actual))
    planned_too = {model["analysis"] for model in plan["models"]}
    rows += [_row("model", name, "not in the plan", "fitted") for name in ours if name not in planned_too]
    return followed, dict(plan), rows


def _read(path: Path) -> Mapping[str, Any]:
    """A plan with everything that is compared."""
    plan = read_json(path)
    if not isinstance(plan, Mapping) or plan.get("format") != FORMAT:
        raise UsageError("the file is no analysis plan.", "Write one with --plan FILE.", path)
    parts = {"version": str, "seed": int, "settings": Mapping, "models": list, "tests": Mapping}
    models = {"analysis": str, "outcomes": list, "covariates": list, "predictor": str}
    damaged = [name for name, kind in parts.items() if not isinstance(plan.get(name), kind)]
    if not damaged:
        damaged += [f"settings.{name}" for name, values in plan["settings"].items() if not isinstance(values, Mapping)]
        for place, model in enumerate(plan["models"]):
            values = model if isinstance(model, Mapping) else {}
            damaged += [
                f"models[{place}].{key}" for key, kind in models.items() if not isinstance(values.get(key), kind)
            ]
    if damaged:
        problem = f"the analysis plan is damaged: {', '.join(damaged)}."
        raise UsageError(problem, "Give the file as --plan wrote it.", path)
    return plan


def deviations(plan: Mapping[str, Any], before: Sequence[Mapping[str, str]], written: Sequence[Table]) -> Table:
    """``group_plan_deviations``: what differed before the run, and models without numbers or with other terms."""
    rows = [dict(row) for row in before]
    tables = {item.name: item.frame for item in written}
    for model in plan["models"]:
        frame = tables.get(f"group_{model['analysis']}")
        if frame is None or frame.empty:
            rows.append(_row("not fitted", model["analysis"], "models", "no table, or nobody in it"))
            continue
        main = frame[(frame["subset"] == "all") & (frame["sensitivity"] == "none")]
        wanted = {model["predictor"], *model["covariates"]}
        free = {"intercept"}  # ordinal models have thresholds
        if plan["settings"]["group"].get("site") == "auto" and "site" not in wanted:
            free.add("site")  # the plan says that it is added where there are several
        for (outcome, method), models in main.groupby(["outcome", "method"], sort=False):
            name = f"{model['analysis']}: {outcome}, {method}"
            if models["estimate"].isna().all():
                rows.append(_row("not fitted", name, "fitted", str(models["reason"].iloc[0])))
            elif (terms := {str(term).split("[")[0] for term in models["term"]} - free) != wanted:  # levels are one
                rows.append(_row("terms", name, " ".join(sorted(wanted)), " ".join(sorted(terms))))
        for outcome in model["outcomes"]:
            if outcome not in set(main["outcome"]):
                rows.append(_row("not fitted", f"{model['analysis']}: {outcome}", "fitted", "not in the table"))
    n = len(rows)
    told = (
        f"warning: the run deviates from its plan in {n} {'point' if n == 1 else 'points'}, see group_plan_deviations."
    )
    return table("group_plan_deviations", rows, DEVIATIONS, notes=[told if n else "the run follows its plan."])


def _plans(settings: Settings) -> list[Plan]:
    change = longitudinal.of_settings(settings.group)
    return [crosssectional.of_settings(settings.group), change, longitudinal.rates_of_plan(change)]


def _model(plan: Plan, settings: Settings) -> dict[str, Any]:
    return {
        "analysis": plan.analysis,
        "formula": f"outcome ~ {' + '.join((plan.predictor, *plan.covariates))}",
        "outcomes": list(plan.outcomes),
        "predictor": plan.predictor,
        "covariates": list(plan.covariates),
        "log": [name for name in plan.logged if name in plan.outcomes],
        "HC3": [name for name in plan.robust if name in plan.outcomes],
        "ordinal": [name for name in plan.levels if name in plan.outcomes],
        "sample": settings.group.sample,
        "subsets": ["all", *([settings.group.subset] if settings.group.subset else [])],
    }


def _row(kind: str, what: str, planned: object, actual: object) -> dict[str, str]:
    return {"kind": kind, "what": what, "planned": _text(planned), "actual": _text(actual)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
