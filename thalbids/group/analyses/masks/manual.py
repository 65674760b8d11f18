"""Manual masks against methods, and methods against one another: every table that needs the masks themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from thalbids.errors import UsageError, some
from thalbids.group.analyses.description import descriptives
from thalbids.group.analyses.masks import pictures
from thalbids.group.analysis import Analysis
from thalbids.reports.group.beyond import View, generic
from thalbids.reports.group.figures import clinical, look, overlap, volumetric
from thalbids.reports.group.group_data import Tables, in_order, interval, methods_in, number, rows_of
from thalbids.reports.group.section import PageTable, Section, counted, matrix, unions, word

if TYPE_CHECKING:
    import pandas as pd

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thalbids.bids.results.derivatives import Place, find_places
from thalbids.bids.tabular.counting import one_per_person
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Table, column, count, table
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import EXACT, METHOD, METHOD2, REASON
from thalbids.group.comparison import Compared, SessionMasks, compare_all, problems_of
from thalbids.group.statistics.concordance import agreement, agreement_tests, containment, interrater, paired

if TYPE_CHECKING:
    import pandas as pd

MANUAL = "manual"  # what the names of datasets of manual masks start with
Key = tuple[str, str]  # participant and session


@dataclass
class Manual:
    """The manual masks.

    Attributes
    ----------
    masks : per session, the file of each rater
    names : the raters, in the order of the datasets
    notes : for the terminal and the report
    """

    masks: dict[Key, dict[str, Path]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def tables(cohort: Cohort) -> list[Table]:
    """Overlap, its summary and tests, containment, volumetric agreement, and the same between raters."""
    manual = find_manual(cohort)
    compared, notes = compare_cohort(cohort, manual)
    overlaps = overlap_tables(cohort, compared, [*manual.notes, *notes])
    return [
        *overlaps,
        *descriptives.of_masks(cohort, overlaps[0].frame),
        *pictures.pictures(cohort, overlaps[0].frame, manual.masks, contained_methods(cohort)),
        containment_table(cohort, compared),
        *rater_tables(cohort, compared),
    ]


def check_manual(given: Mapping[str, Path]) -> None:
    """Refuse a dataset of manual masks (``--derivatives``) in which there is not one: nothing would be compared.

    Raises
    ------
    UsageError
        With the names of files that may have been meant.
    """
    for name, path in given.items():
        if not re.fullmatch(rf"{MANUAL}\d*", name.lower()):
            continue
        places = find_places(path)
        if any(place.masks() for place in places):
            continue
        wrong = [file for place in places for file in place.misnamed()]
        meant = f" Not read for their names: {some(wrong)}." if wrong else ""
        raise UsageError(
            f"--derivatives {name}: no mask is named like "
            f"sub-01/[ses-1/]anat/sub-01_[ses-1_]label-thalamus_desc-LABEL_mask.nii.gz.{meant}",
            "Give the folder that holds sub-01 ... of the masks, name them so, or leave the option out.",
            path,
        )


def find_manual(cohort: Cohort) -> Manual:
    """Every mask of the datasets ``manual``, ``manual2`` ... of ``--derivatives``, per session of the cohort.

    A dataset whose masks all carry one ``desc-`` label is one rater, named like the dataset; with several labels each
    is a rater, named by its label (with the dataset's name before it when that would not be unique).
    """
    manual = Manual()
    known = {(place.participant_id, place.session_id) for place in cohort.places}
    inputs = cohort.settings.inputs
    datasets = {name: path for name, path in inputs.derivatives.items() if name.lower().startswith(MANUAL)}
    unmatched: list[str] = []
    every = {name: find_places(path, inputs.participant_label, inputs.session_label) for name, path in datasets.items()}
    placed = {name: [place for place in places if place.masks()] for name, places in every.items()}
    labels = {name: sorted({desc for place in places for desc in place.masks()}) for name, places in placed.items()}
    named = _rater_names(labels)
    for name, places in placed.items():
        if not places:
            manual.notes.append(f"warning: --derivatives {name}: it has no mask of the people and sessions asked for.")
        wrong = [file for place in every[name] for file in place.misnamed()]
        if wrong:
            manual.notes.append(
                f"warning: --derivatives {name}: not used, as the name does not end in "
                f"_label-thalamus_desc-LABEL_mask.nii.gz: {some(wrong)}."
            )
        for place in places:
            key = _session_of(place, known)
            if key is None:
                unmatched.append(f"{place.name} ({name})")
                continue
            for desc, path in place.masks().items():
                manual.masks.setdefault(key, {})[named[name, desc]] = path
    manual.names = tuple(dict.fromkeys(named.values()))
    if unmatched:
        manual.notes.append(f"warning: manual masks of sessions without derivatives are not used: {some(unmatched)}.")
    return manual


def compare_cohort(cohort: Cohort, manual: Manual) -> tuple[list[Compared], list[str]]:
    """Compare every session that has a manual mask, or is a participant's first; each person's in order of visits."""
    usable = cohort.usable
    methods: dict[Key, list[str]] = {}
    for person, session, method in zip(usable["participant_id"], usable["session_id"], usable["method"], strict=True):
        methods.setdefault((person, session), []).append(method)
    first = baseline(cohort)
    cross = set(zip(first["participant_id"], first["session_id"], strict=True))
    wanted = contained_methods(cohort)
    jobs, without = [], []
    for place in _by_visit(cohort):
        key = (place.participant_id, place.session_id)
        files = place.masks() if key in methods else {}
        automatic = {method: files[method] for method in methods.get(key, ()) if method in files}
        drawn = manual.masks.get(key, {})
        if drawn and not automatic:
            without.append(place.name)
        inside = tuple(name for name in automatic if name in wanted) if key in cross else ()
        if drawn or len(inside) > 1:
            jobs.append(SessionMasks(place.participant_id, place.session_id, automatic, drawn, inside))
    settings = cohort.settings
    compared = compare_all(jobs, settings.run.nprocs, settings.group.another_person)
    notes, problems = problems_of(compared)
    notes += [f"warning: {problem}" for problem in problems]
    if without:
        notes.append(f"warning: sessions with a manual mask but no usable mask of a method: {some(without)}.")
    return compared, notes


def _by_visit(cohort: Cohort) -> list[Place]:
    """The sessions person by person, in the order of visits: by date where all are dated, else by label."""
    visits = cohort.visits
    order = dict(zip(zip(visits["participant_id"], visits["session_id"], strict=True), visits["order"], strict=True))
    people = {person: i for i, person in enumerate(dict.fromkeys(place.participant_id for place in cohort.places))}
    return sorted(
        cohort.places,
        key=lambda place: (people[place.participant_id], order.get((place.participant_id, place.session_id), 0)),
    )


def contained_methods(cohort: Cohort) -> tuple[str, ...]:
    """The methods between which containment is computed."""
    return containment.t1w_derived(cohort.methods) if cohort.settings.group.containment == "T1w" else cohort.methods


def overlap_tables(cohort: Cohort, compared: Sequence[Compared], notes: Sequence[str]) -> list[Table]:
    """``group_overlap`` and what is computed from it."""
    rows = table("group_overlap", [row for person in compared for row in person.overlap], OVERLAP)
    frame = rows.frame
    group, seed = cohort.settings.group, cohort.settings.run.seed
    shaped: dict[str, object] = {"another_person": group.another_person}
    used = _sample(frame, cohort.visits)
    told = [*notes, *([used] if used else [])]
    summary = paired.summary(frame, seed, group.bootstrap) if len(frame) else []
    tests = paired.tests(frame, group.wilcoxon) if len(frame) else []
    doubts = _doubts(frame)
    agreed = agreement.rows(frame) if len(frame) else []
    agreed = [row | {"n_doubted": doubts[row["rater"], row["method"]]} for row in agreed]
    compared_ = agreement_tests.rows(frame, seed, group.bootstrap) if len(frame) else []
    return [
        table("group_overlap", rows.frame.to_dict("records"), OVERLAP, settings=shaped, notes=told),
        table("group_overlap_summary", summary, SUMMARY, settings={"seed": seed, "bootstrap": group.bootstrap}),
        table("group_overlap_tests", tests, TESTS, settings={"wilcoxon": group.wilcoxon}),
        table("group_agreement", agreed, AGREEMENT, settings={"confidence": agreement.CONFIDENCE}),
        table(
            "group_agreement_tests", compared_, AGREEMENT_TESTS, settings={"seed": seed, "bootstrap": group.bootstrap}
        ),
    ]


def _doubts(frame: pd.DataFrame) -> Counter[tuple[str, str]]:
    """How many manual masks that count are in doubt, per rater and method."""
    doubted = _with_doubt(one_per_person(frame, ["rater", "method"]))
    return Counter(zip(doubted["rater"], doubted["method"], strict=True))


def containment_table(cohort: Cohort, compared: Sequence[Compared]) -> Table:
    """``group_containment``, over one session per participant."""
    rows = containment.containment([person for person in compared if len(person.names) > 1])
    settings = {"containment": cohort.settings.group.containment}
    notes = [
        f"warning: {row['method_inner']} must lie in {row['method_outer']} by construction and does not in "
        f"{row['n_broken']:.0f} participants ({some(row['broken'].split())}): masks of different runs, or changed."
        for row in rows
        if row["broken"]
    ]
    return table("group_containment", rows, CONTAINMENT, settings=settings, notes=notes)


def rater_tables(cohort: Cohort, compared: Sequence[Compared]) -> list[Table]:
    """Between raters; none with fewer than two."""
    rows = [row for result in compared for row in result.raters]
    if not rows:
        return []
    pairs = table("group_rater_overlap", rows, RATER_OVERLAP)
    group, seed = cohort.settings.group, cohort.settings.run.seed
    agreed = interrater.between_raters(pairs.frame, seed, group.bootstrap)
    settings = {"seed": seed, "bootstrap": group.bootstrap}
    return [pairs, table("group_rater_agreement", agreed, RATER_AGREEMENT, settings=settings)]


def _rater_names(labels: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """Per dataset and label the rater's name; no two are the same."""
    named: dict[tuple[str, str], str] = {}
    for dataset, descs in labels.items():
        for desc in descs:
            name = dataset if len(descs) == 1 else desc
            named[dataset, desc] = f"{dataset}-{desc}" if name in named.values() else name
    return named


def _session_of(place: Place, known: set[Key]) -> Key | None:
    """The session of the cohort that a manual mask belongs to.

    The same labels; or, when the masks have no session level, the only session of that person.
    """
    key = (place.participant_id, place.session_id)
    if key in known:
        return key
    sessions = [other for other in known if other[0] == place.participant_id]
    return sessions[0] if not place.session_id and len(sessions) == 1 else None


def _sample(frame: pd.DataFrame, visits: pd.DataFrame) -> str:
    """Which rows the summaries are made of, when those are not all."""
    if not len(frame):
        return ""
    good = frame[frame["status"] == "ok"]
    counts = good.groupby(["rater", "participant_id"])["session_id"].nunique()
    several = counts[counts > 1].index.get_level_values("participant_id").unique()
    if not len(several):
        return ""
    undated = visits.loc[visits["participant_id"].isin(several) & visits["years"].isna(), "participant_id"].nunique()
    how = f"; for {undated} of {len(several)} by label, as not every session has a date" if undated else ""
    return (
        "overlap: of participants with several sessions with manual masks, the earliest enters summaries and tests"
        f"{how}."
    )


_RATER = {"rater": column("Rater", "Who drew the reference mask: name of the dataset or desc- label of its masks.")}
_RATER2 = {"rater2": column("Second rater", "The rater whose mask is compared with the first rater's.")}
_STATUS = {
    "status": column(
        "Status",
        "Whether the row enters summaries, tests and agreement.",
        Levels={"ok": "It does", "excluded": "The manual mask is of another person or in another space"},
    )
}
_METRICS: Mapping[str, Mapping[str, object]] = {
    "dice": column("Dice coefficient", "2 tp / (2 tp + fp + fn); n/a when a mask is empty."),
    "precision": column("Precision", "tp / (tp + fp); n/a when a mask is empty."),
    "sensitivity": column("Sensitivity", "tp / (tp + fn); n/a when a mask is empty."),
    "volume_similarity": column("Volume similarity", "1 - |fn - fp| / (2 tp + fp + fn); n/a when a mask is empty."),
    "hd95_mm": column(
        "95th percentile Hausdorff distance",
        "The larger of the two directed 95th percentiles (numpy's linear quantile) of the distances between the "
        "centres of surface voxels (voxels with a face neighbour outside the mask), in world coordinates.",
        "mm",
    ),
    "assd_mm": column(
        "Average symmetric surface distance",
        "Mean distance of the surface voxels of both masks to the nearest surface voxel of the other mask.",
        "mm",
    ),
}
_LEVELS = {name: str(described["LongName"]) for name, described in _METRICS.items()}
_METRIC = {"metric": column("Measure", "Measure of overlap or distance, see group_overlap.", Levels=_LEVELS)}
_COUNTS = {
    "tp": count("True positives", "Voxels in both masks, on the grid of the method's mask."),
    "fp": count("False positives", "Voxels of the method (or second rater) only."),
    "fn": count("False negatives", "Voxels of the reference only."),
}
_INTERVAL = {
    "ci_low": column("Lower limit", "Lower limit of the 95 % confidence interval."),
    "ci_high": column("Upper limit", "Upper limit of the 95 % confidence interval."),
}
_N = {"n": count("Number", "Participants with a value.")}
_N_EMPTY = {"n_empty": count("Empty masks", "Participants without a value because a mask is empty.")}
_QUANTITIES = {
    "ccc": "Lin's concordance correlation coefficient; interval by Fisher's z with Lin's variance as corrected in 2000",
    "slope": "Slope of the method's volume on the rater's (ordinary least squares, t interval)",
    "sd_e": "Residual standard deviation of that line, mL (chi-square interval)",
    "icc_c1": "ICC(C,1), consistency, equal to ICC(3,1): what the paper reports",
    "icc_a1": "ICC(A,1), absolute agreement, equal to ICC(2,1)",
    "bias": "Mean of method minus rater, mL (t interval)",
    "bias_sd": "Standard deviation of method minus rater, mL (chi-square interval)",
    "loa_low": "Lower limit of agreement, bias - 1.96 SD, mL (interval of Bland and Altman 1999)",
    "loa_high": "Upper limit of agreement, bias + 1.96 SD, mL (interval of Bland and Altman 1999)",
    "proportional_slope": "Slope of method minus rater on the mean of the two",
    "proportional_slope_on_reference": "Slope of method minus rater on the rater's volume",
}
_ESTIMATE = {"estimate": column("Estimate", "Value of the quantity."), **_INTERVAL}

OVERLAP: Mapping[str, Mapping[str, object]] = {
    **PARTICIPANT, **SESSION, **_RATER, **METHOD, **_COUNTS, **_METRICS,
    "volume_ml": column("Volume of the method", "Volume of the method's mask.", "mL"),
    "volume_rater_ml": column("Volume of the rater", "Volume of the manual mask on its own grid.", "mL"),
    **_STATUS, **REASON,
    "doubt": column(
        "Doubt about the manual mask",
        "Why the manual mask may be wrong: methods that agree with one another (or all there are, of one family) "
        "contradict it, it is empty, its labels of left "
        "and right are exchanged, or its header was lost. A row whose status is ok counts all the same.",
    ),
}  # fmt: skip
SUMMARY: Mapping[str, Mapping[str, object]] = {
    **_RATER, **METHOD, **_METRIC, **_N, **_N_EMPTY,
    "median": column("Median", "Median over participants."),
    "q1": column("First quartile", "25 % quantile (linear interpolation)."),
    "q3": column("Third quartile", "75 % quantile (linear interpolation)."),
    "ci_low": column("Lower limit", "Lower limit of the 95 % bootstrap (percentile) interval of the median."),
    "ci_high": column("Upper limit", "Upper limit of the 95 % bootstrap (percentile) interval of the median."),
}  # fmt: skip
TESTS: Mapping[str, Mapping[str, object]] = {
    **_RATER, **_METRIC, **METHOD, **METHOD2,
    "n": count("Pairs", "Participants with a value of both methods."),
    "n_zero": count("Zeros", "Pairs without a difference, which are dropped."),
    "statistic": column("Statistic", "Smaller sum of ranks of the two-sided Wilcoxon signed-rank test."),
    "p": column("p", "Two-sided p value, without continuity correction."),
    "p_fdr": column("Adjusted p", "p adjusted by Benjamini and Hochberg over the pairs of this rater and measure."),
    **REASON,
    **EXACT,
}  # fmt: skip
CONTAINMENT: Mapping[str, Mapping[str, object]] = {
    "method_inner": column("Inner method", "Method i of C(i in j) = |i and j| / |i|."),
    "method_outer": column("Outer method", "Method j."),
    "n": count("Number", "Participants (first session) with both masks, the inner one not empty."),
    "n_empty": count("Empty masks", "Participants whose inner mask is empty."),
    "mean": column("Mean", "Mean over participants."),
    "sd": column("Standard deviation", "Standard deviation over participants (n - 1)."),
    "constructed": column(
        "Constructed",
        "Whether the inner mask lies in the outer one because of how it is made: a value of 1 is then no finding.",
        Levels={"true": "It does", "false": "It does not"},
    ),
    "n_broken": count(
        "Number of errors", "Participants of a constructed pair whose inner mask does not lie in the outer one."
    ),
    "broken": column("Errors", "Who they are: their masks are not of one run, or were changed."),
}
AGREEMENT: Mapping[str, Mapping[str, object]] = {
    **_RATER, **METHOD, "quantity": column("Quantity", "What is estimated.", Levels=_QUANTITIES), **_ESTIMATE, **_N,
    "n_doubted": count("Number in doubt", "Of these, those whose manual mask is in doubt (group_overlap)."),
    **REASON,
}  # fmt: skip
AGREEMENT_TESTS: Mapping[str, Mapping[str, object]] = {
    **_RATER, **METHOD, **METHOD2,
    "quantity": column(
        "Quantity",
        "What is compared: a measure of overlap, person by person (its test is in group_overlap_tests), or agreement "
        "of the volumes, by a paired bootstrap.",
        Levels={
            "dice": "Dice coefficient", "precision": "Precision", "sensitivity": "Sensitivity",
            **{name: _QUANTITIES[name] for name in agreement_tests.VOLUMETRIC},
        },
    ),
    "n": count("Number", "Participants whom both methods have."),
    "estimate": column("First method", "Median of the measure, or the coefficient, of the first method."),
    "estimate2": column("Second method", "The same of the second, on the same people."),
    "difference": column("Difference", "Median of the paired differences, or difference of the coefficients."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the difference (percentile bootstrap over people)."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the difference."),
    "effect_size": column(
        "Effect size", "Rank-biserial correlation of the paired differences; Cohen's q (difference of Fisher z) of "
        "coefficients.",
    ),
    "statistic": column("Statistic", "z: difference of the coefficients / SD of the resamples."),
    "p": column("p value", "Two-sided, normal; coefficients only."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the pairs of this rater and quantity."),
    **REASON,
}  # fmt: skip
RATER_OVERLAP: Mapping[str, Mapping[str, object]] = {
    **PARTICIPANT, **SESSION, **_RATER, **_RATER2, **_COUNTS, **_METRICS,
    "volume_ml": column("Volume of the first rater", "Volume of the first rater's mask.", "mL"),
    "volume2_ml": column("Volume of the second rater", "Volume of the second rater's mask.", "mL"),
    **_STATUS, **REASON,
}  # fmt: skip
RATER_AGREEMENT: Mapping[str, Mapping[str, object]] = {
    **_RATER, **_RATER2,
    "quantity": column(
        "Quantity",
        "Median of a measure of overlap over participants, or agreement of the volumes with the first rater as "
        'reference; the ICCs of rater "all" are over all raters and the participants whom all of them drew.',
        Levels={**{f"median_{name}": f"Median: {text}" for name, text in _LEVELS.items()}, **_QUANTITIES},
    ),
    **_ESTIMATE, **_N, **REASON,
}  # fmt: skip


def overlap_section(tables: Tables) -> Section:
    """Dice, precision, sensitivity."""
    section = Section("overlap", "Overlap with the manual masks")
    raters = overlap.raters(tables)
    if not raters:
        section.nothing = "There are no manual masks: name their folder with --derivatives manual=PATH."
        return section
    section.pictures = pictures.shown(tables)
    section.warnings += doubt_lines(tables)
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
            f"{below} of {counted(len(dice), 'pair')} of methods differ in Dice (Wilcoxon signed-rank, "
            "Benjamini-Hochberg over the pairs of a measure)."
        )
    for rater in raters:
        for metric, name in overlap.METRICS.items():
            of_metric = rows_of(tests, metric=metric) if rater is None else rows_of(tests, metric=metric, rater=rater)
            title = f"{name}, pairs of methods: corrected p" + (f", rater {rater}" if len(raters) > 1 else "")
            section.tables += matrix(title, of_metric, tables.file("overlap_tests"))
    between = generic(tables, "rater_agreement", View("Agreement between raters"))
    section.tables += [between] if between.rows else []
    section.caveats += [
        "Precision falls when a mask is too large, sensitivity when it is too small; Dice weighs both.",
        *unions(methods_in(tables.get("overlap"))),
        (
            "Manual masks drawn on T1w and FLAIR favour what is seen there: a deviation of an R1 mask need not be an "
            "error."
        ),
    ]
    return section


def doubt_lines(tables: Tables) -> list[str]:
    """The manual masks that are in doubt: how many there are, then each with the reason."""
    table = tables.get("overlap", ("rater", "doubt"))
    doubted = _with_doubt(table).drop_duplicates(["participant_id", "session_id", "rater"])
    if doubted.empty:
        return []
    drawn = len(table.drop_duplicates(["participant_id", "session_id", "rater"]))
    lines = [
        f"{row['participant_id']}{_session(row['session_id'])}, {row['rater']}: {row['doubt']}."
        for row in doubted.to_dict("records")
    ]
    first = (
        f"{len(doubted)} of {counted(drawn, 'manual mask')} are in doubt, and count where their status is ok: "
        "look at them; correct their files, or take them out of the folder, and run again. "
    )
    return [first + lines[0], *lines[1:]]


def _with_doubt(table: pd.DataFrame) -> pd.DataFrame:
    text = table["doubt"].astype(object)
    return table[text.notna() & text.ne("")]


def _session(label: object) -> str:
    return f" {label}" if isinstance(label, str) and label else ""


def _overlap_sentence(summary: pd.DataFrame, rater: str | None) -> str:
    dice = rows_of(summary, metric="dice").dropna(subset=["median"]).sort_values("median")
    if dice.empty:
        return "No method has a Dice with the manual masks."
    best = dice.iloc[-1]
    who = "" if rater is None else f"Against {rater}: "
    spread = interval(best["q1"], best["q3"], 3)
    text = f"{who}{look.label(best['method'])} has the highest median Dice, {number(best['median'], 3)} {spread}"
    text += _size_of(best)
    if len(dice) > 1:
        low = dice.iloc[0]
        text += f"; the lowest is that of {look.label(low['method'])}, {number(low['median'], 3)}{_size_of(low)}"
    return f"{text}."


def _size_of(row: pd.Series) -> str:
    n = row.get("n", np.nan)
    return f" (n = {n:.0f})" if np.isfinite(n) else ""


def _different(section: Section, tables: Tables) -> None:
    """Whether the agreement of methods differs."""
    tests = tables.get("agreement_tests", ("rater", "method", "method2", "quantity", "difference", "p_fdr", "n"))
    tested = tests.dropna(subset=["p_fdr"])
    if tested.empty:
        return
    parts, rows = [], []
    for quantity, words in (("ccc", "CCC"), ("icc_c1", "ICC(C,1)"), ("icc_a1", "ICC(A,1)")):
        of_quantity = rows_of(tested, quantity=quantity)
        below = of_quantity[of_quantity["p_fdr"] < clinical.ALPHA]
        parts.append(f"{len(below)} of {len(of_quantity)} pairs in {words}")
        for row in below.to_dict("records"):
            both = f"{number(row['estimate'])}, {number(row['estimate2'])}"
            ends = interval(row["ci_low"], row["ci_high"])
            names = f"{look.label(row['method'])}, {look.label(row['method2'])}"
            rows.append([names, words, both, number(row["difference"]), ends, number(row["n"], 0)])
    section.says.append(f"Methods differ, after correction (paired bootstrap), in {', '.join(parts)}.")
    header = ["Methods", "Quantity", "Values", "Difference", "95 % interval", "n"]
    if rows:
        title = "Agreement that differs between methods (corrected p below 0.05)"
        section.tables.append(PageTable(title, header, rows, tables.file("agreement_tests")))


def _summary(tables: Tables, summary: pd.DataFrame, rater: str | None) -> PageTable:
    metrics = in_order(summary["metric"].dropna().unique(), [*overlap.METRICS, "hd95_mm", "assd_mm"])
    rows = []
    for method in methods_in(summary):
        cells = []
        for metric in metrics:
            of_method = rows_of(summary, method=method, metric=metric)
            if not len(of_method):
                cells.append("–")
                continue
            median, q1, q3 = (number(of_method.iloc[0][name], 3) for name in ("median", "q1", "q3"))
            cells.append(f"{median} ({q1}–{q3})")
        rows.append([look.label(method), *cells])
    title = "Median (quartiles)" + ("" if rater is None else f", rater {rater}")
    return PageTable(
        title, ["Method", *(overlap.METRICS.get(m, word(m)) for m in metrics)], rows, tables.file("overlap_summary")
    )


def containment_section(tables: Tables) -> Section:
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
    constructed = [row for row in table.to_dict("records") if overlap.constructed(row)]
    for row in constructed:
        if isinstance(row.get("broken"), str):
            section.warnings.append(
                f"Error: {look.label(row['method_inner'])} must lie in {look.label(row['method_outer'])} by "
                f"construction and does not in {counted(int(row['n_broken']), 'participant')} ({row['broken']}): "
                "masks of different runs, or changed by hand."
            )
    free = [row for row in table.to_dict("records") if not overlap.constructed(row) and np.isfinite(row["mean"])]
    if free:
        low = min(free, key=lambda row: row["mean"])
        high = max(free, key=lambda row: row["mean"])
        section.says.append(
            f"Of the pairs that are free to differ, {look.label(high['method_inner'])} lies most in "
            f"{look.label(high['method_outer'])} ({number(high['mean'])}), {look.label(low['method_inner'])} least in "
            f"{look.label(low['method_outer'])} ({number(low['mean'])})."
        )
    if constructed:
        section.caveats.append(
            f"{counted(len(constructed), 'pair')} (starred) are fixed by construction: MindGlide's deep grey matter is "
            "cut by an envelope (FSL FIRST unless the name says otherwise), so its containment in that envelope is 1 "
            "whatever it sees, and errors of the envelope show in its masks; members lie wholly in the union of two."
        )
    section.caveats.append("Containment describes size and position relative to another method, not correctness.")
    return section


def agreement_section(tables: Tables) -> Section:
    """CCC, ICC, regression, Bland-Altman."""
    section = Section("agreement", "Volumes against the manual masks")
    table = tables.get("agreement", ("method", "quantity", "estimate"))
    if table.empty:
        section.nothing = "There are no manual masks, so there is no volume to compare with."
        return section
    section.warnings += doubt_lines(tables)[:1]
    raters: list[str | None] = sorted(table["rater"].dropna().unique()) if "rater" in table.columns else [None]
    for rater in raters:
        one = rater if len(raters) > 1 else None
        section.add(volumetric.scatter(tables, one), volumetric.bland_altman(tables, one))
        of_rater = table if one is None else rows_of(table, rater=one)
        section.says += _agreement_sentences(of_rater, one)
        section.tables.append(_agreement_table(tables, of_rater, one))
    _different(section, tables)
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


def _agreement_table(tables: Tables, table: pd.DataFrame, rater: str | None) -> PageTable:
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
            of_method = rows_of(table, method=method, quantity=quantity)
            if of_method.empty:
                cells.append("–")
                continue
            row = of_method.iloc[0]
            ends = interval(row.get("ci_low"), row.get("ci_high"))
            cells.append(number(row["estimate"]) + ("" if ends == "–" else f" {ends}"))
        rows.append([look.label(method), *cells])
    title = "Estimate [95 % interval]" + ("" if rater is None else f", rater {rater}")
    return PageTable(title, ["Method", *(name for _, name in columns)], rows, tables.file("agreement"))


ANALYSIS = Analysis(
    "masks",
    tables,
    sections={"overlap": overlap_section, "containment": containment_section, "agreement": agreement_section},
    told=(
        "masks_shown",
        "overlap",
        "overlap_summary",
        "overlap_tests",
        "containment",
        "agreement",
        "agreement_tests",
        "rater_overlap",
        "rater_agreement",
    ),
)
