"""How images were acquired, which visits can be compared, and every result of change with and without the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.dataset.acquisition_facts import NUMBERS
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, table
from thalbids.group import comparability
from thalbids.group.analyses.clinical import longitudinal
from thalbids.group.analyses.over_time import change
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import COMPARABLE, METHOD, PAIR, PAIR_STATUS, SENSITIVITY, SESSIONS, SPREAD
from thalbids.group.modelling import models
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import ALL
from thalbids.group.modelling.samples import pairs as changes
from thalbids.qc.visits import acquired
from thalbids.reports.group.beyond import View
from thalbids.reports.group.figures import look
from thalbids.reports.group.group_data import Tables, mean_sd, number, rows_of
from thalbids.reports.group.section import PageTable, Section, counted

MEASURES = ("delta_percent", "delta_percent_per_year")
WITHOUT = "comparable"  # what the sensitivity analysis is called
AXES = {"x": "right", "y": "anterior", "z": "superior"}

ACQUISITION: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "image": column("Image", "T1w, FLAIR, R1map ..."),
    **{
        f"voxel_{axis}_mm": column(f"Voxel size, {name}", f"Side of a voxel along {name}.", "mm")
        for axis, name in AXES.items()
    },
    "slice_thickness_mm": column(
        "Slice thickness", "The larger of SliceThickness and the longest side of a voxel.", "mm"
    ),
    "slice_direction": column("Slice direction", "sagittal, coronal or axial; n/a for about cubic voxels."),
    **{
        f"field_{axis}_mm": column(f"Field of view, {name}", f"Extent along {name}.", "mm")
        for axis, name in AXES.items()
    },
    "scanner": column("Scanner", "Manufacturer and model by the sidecar."),
    "field_strength_t": column("Field strength", "MagneticFieldStrength of the sidecar.", "T"),
    "repetition_time_s": column("Repetition time", "RepetitionTime of the sidecar.", "s"),
    "echo_time_s": column("Echo time", "EchoTime of the sidecar.", "s"),
    "inversion_time_s": column("Inversion time", "InversionTime of the sidecar.", "s"),
    "flip_angle_deg": column("Flip angle", "FlipAngle of the sidecar.", "degrees"),
    "contrast_agent": column("Contrast agent", "By the entity ce- or ContrastBolusIngredient; n/a when none is named."),
    "flags": column("Flags", "What was flagged of the image (rules of docs/qc.md)."),
}
COMPARABILITY: dict[str, Column] = {**PARTICIPANT, **PAIR, **COMPARABLE, **SESSIONS, **PAIR_STATUS}
WHICH = {
    "pairs": column(
        "Pairs",
        "Which pairs of visits are summarised.",
        Levels={"all": "Every pair", WITHOUT: "Without those where comparable is no"},
    )
}
SUMMARY: dict[str, Column] = {
    **METHOD,
    "measure": column("Measure", "Column of group_change that is summarised; its units apply."),
    **WHICH,
    **SPREAD,
    **SESSIONS,
    **CHANGE_MEASURE,
}
LONGITUDINAL: dict[str, Column] = {
    **longitudinal.LONGITUDINAL,
    "sensitivity": {**SENSITIVITY["sensitivity"], "Levels": {WITHOUT: "Without pairs where comparable is no"}},
}
ICV: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "source": column("Source", "Where the intracranial volume comes from."),
    "icv_ml": column("Intracranial volume", "Volume inside the skull.", "mL"),
    "status": column(
        "Status",
        "Whether it may be used; an excluded one is in no model unless [group] distrusted_icv is set.",
        Levels={"ok": "Usable", "excluded": "Its own flag says that it is implausible"},
    ),
    "note": column("Note", "What to know before it is used, of a skull-stripped scan for instance."),
}


def tables(cohort: Cohort) -> list[Table]:
    """Acquisition, comparable pairs, intracranial volumes, and change with and without pairs that are flagged."""
    asked = cohort.settings.group.pairs
    return [
        table("group_acquisition", acquisitions(cohort), ACQUISITION),
        table("group_comparability", [row for pair in asked for row in pair_rows(cohort, pair)], COMPARABILITY),
        table("group_icv", cohort.icv, ICV),
        table(
            "group_change_comparable", with_measure(row for pair in asked for row in summaries(cohort, pair)), SUMMARY
        ),
        table(
            "group_longitudinal_comparable",
            with_measure(models_without(cohort)),
            LONGITUDINAL,
            settings=longitudinal.choices(cohort),
        ),
    ]


def acquisitions(cohort: Cohort) -> list[dict[str, Any]]:
    """Rows of ``group_acquisition``."""
    rows = []
    for (person, session), document in cohort.documents.items():
        flags = document.get("Flags")
        listed = [flag for flag in flags if isinstance(flag, dict)] if isinstance(flags, list) else []
        for image, facts in acquired(document).items():
            rules = [str(flag.get("rule")) for flag in listed if flag.get("scope") == f"image:{image}"]
            start = {"participant_id": person, "session_id": session, "image": image, "flags": ", ".join(rules)}
            for name, key in (("voxel", "voxel_size_mm"), ("field", "field_of_view_mm")):
                sizes = facts.get(key) or [float("nan")] * 3
                start |= {f"{name}_{axis}_mm": size for axis, size in zip(AXES, sizes, strict=True)}
            words = {key: facts.get(key) or "" for key in ("slice_direction", "scanner", "contrast_agent")}
            known = {key: facts.get(key) for key in ("slice_thickness_mm", *NUMBERS)}
            numbers = {key: float("nan") if value is None else value for key, value in known.items()}
            rows.append(start | words | numbers)
    return rows


def pair_rows(cohort: Cohort, pair: str) -> list[dict[str, Any]]:
    """Rows of ``group_comparability``."""
    return [row | {"sessions": pair} for row in comparability.pairs(cohort, pair).to_dict("records")]


def summaries(cohort: Cohort, pair: str) -> list[dict[str, Any]]:
    """Rows of ``group_change_comparable``: every method and measure, over all pairs and without the flagged ones."""
    frames = [change.change(cohort, pair), change.change_by_registration(cohort, pair)]
    return [
        {"method": method, "measure": measure, "pairs": which, "sessions": pair} | change.spread(of_method[measure])
        for frame in frames
        for which, part in (("all", frame), (WITHOUT, frame[frame["comparable"] != comparability.NO]))
        for method, of_method in part.groupby("method", sort=False)
        for measure in MEASURES
    ]


def models_without(cohort: Cohort) -> list[dict[str, Any]]:
    """Rows of ``group_longitudinal_comparable``; none where no pair is flagged, as they would repeat the main ones."""
    rows = []
    for of_measure, pair in longitudinal.measures_of(cohort):
        sample = changes(of_measure, pair)
        told = sample.table[comparability.KEYS].merge(
            comparability.pairs(cohort, pair), on=comparability.KEYS, how="left"
        )
        flagged = (told["comparable"] == comparability.NO).to_numpy()
        if (flagged & (told["status"] == comparability.OK).to_numpy()).any():  # an excluded pair is in no model anyway
            sample = sample.where(np.logical_not(flagged))
            rows += models.rows(longitudinal.plan(of_measure, WITHOUT), of_measure, sample, (ALL,), sessions=pair)
    return rows


def section(written: Tables) -> Section:
    """Acquisition and comparability."""
    result = Section("comparability", "Acquisition and comparability of the visits")
    images = written.get("acquisition", ("image", "flags"))
    volumes = written.get("icv", ("status",))
    distrusted = int((volumes["status"] == "excluded").sum()) if len(volumes) else 0
    if distrusted:
        whose = "is distrusted by its" if distrusted == 1 else "are distrusted by their"
        result.says.append(
            f"{counted(distrusted, 'intracranial volume')} of {len(volumes)} {whose} own flag and in no model, unless "
            "[group] distrusted_icv is set."
        )
    if images.empty and not distrusted:
        result.nothing = "The quality control of these sessions tells nothing of their acquisition."
        return result
    flagged = images.dropna(subset=["flags"]) if len(images) else images
    for rule, what in (("thick_slices", "slices of 2.5 mm or more"), ("contrast_agent", "a contrast agent")):
        n = int(flagged["flags"].astype(str).str.contains(rule).sum()) if len(flagged) else 0
        if n:
            result.says.append(f"{n} of {counted(len(images), 'image')} {'has' if n == 1 else 'have'} {what}.")
    _pairs_of_the_page(result, written)
    if not result.says:
        result.nothing = "No image has thick slices or a contrast agent, and there are no pairs of visits to compare."
    return result


def _pairs_of_the_page(page: Section, written: Tables) -> None:
    """What the page says of pairs of visits, with change in percent over all and over comparable pairs."""
    visits = written.get("comparability", ("comparable", "remark", "status"))
    if not len(visits):
        return
    out = len(rows_of(visits, status=comparability.EXCLUDED))
    if out:
        are, them = ("is", "it") if out == 1 else ("are", "them")
        page.says.append(
            f"{out} of {counted(len(visits), 'pair')} of visits {are} excluded at the participant level: no change is "
            f"taken of {them} ({written.file('comparability')})."
        )
    visits = rows_of(visits, status=comparability.OK)
    if not len(visits):
        return
    bad = rows_of(visits, comparable=comparability.NO)
    page.says.append(f"{len(bad)} of {counted(len(visits), 'pair')} of visits differ in acquisition or are flagged.")
    if not len(bad):
        return
    page.warnings.append(
        f"{counted(len(bad), 'pair')} of visits differ in acquisition or are flagged: what changed there may not be "
        "the thalamus. The table gives the mean change with and without them, "
        f"{written.file('longitudinal_comparable')} the clinical models without them."
    )
    summary = rows_of(written.get("change_comparable", ("method", "measure", "pairs")), measure="delta_percent")
    rows = []
    for method in dict.fromkeys(summary["method"]):
        summaries = [rows_of(summary, method=method, pairs=which) for which in ("all", WITHOUT)]
        rows.append([look.label(str(method)), *(_cell(part) for part in summaries)])
    title = "Change in % of baseline, mean ± SD; n"
    page.tables.append(
        PageTable(title, ["Method", "All pairs", "Comparable pairs"], rows, written.file("change_comparable"))
    )


def _cell(part: pd.DataFrame) -> str:
    row = part.iloc[0] if len(part) else None
    return "–" if row is None else f"{mean_sd(row)}; {number(row['n'], 0)}"


ANALYSIS = Analysis(
    "comparability",
    tables,
    sections={"comparability": section},
    views={
        "longitudinal_comparable": View(
            "Change of scores without pairs that cannot be compared: the volume's coefficient",
            {"term": ("delta_volume_ml",)},
            ("outcome", "method", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
        )
    },
    told=("acquisition", "comparability", "icv", "change_comparable"),
)
