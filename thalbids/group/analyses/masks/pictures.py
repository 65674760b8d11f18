"""Masks of the methods on the manual one, in a person with much disease and in one with little (the paper's Fig. 1)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.results.derivatives import Place
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, table
from thalbids.errors import ThalbidsError
from thalbids.files import write_text
from thalbids.group.cohort import Cohort
from thalbids.group.writing import announce
from thalbids.reports import palette, svg, views
from thalbids.reports.group.figures import look
from thalbids.reports.group.group_data import Tables, listed, number
from thalbids.reports.group.section import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

RED = palette.Style("#FF1744")  # of the manual mask, as in the paper
ENDS = {"high": "much disease", "low": "little disease"}
BY_VOLUME = {"high": "the smallest manual mask", "low": "the largest manual mask"}  # without EDSS and duration
Key = tuple[str, str]

SHOWN: dict[str, Column] = {
    "which": column("Which", "high: highest EDSS, then longest disease, then smallest manual mask; low: the opposite."),
    **PARTICIPANT,
    **SESSION,
    "rater": column("Rater", "Whose mask is drawn."),
    "methods": column("Methods", "Whose masks are drawn."),
    "diagnosis": column("Diagnosis", "Diagnosis group."),
    "age": column("Age", "At the session.", "year"),
    "disease_duration": column("Disease duration", "At the session.", "year"),
    "edss": column("EDSS", "At the session."),
    "file": column("File", "The picture, relative to this table."),
}


def pictures(
    cohort: Cohort, overlap: pd.DataFrame, drawn: Mapping[Key, Mapping[str, Path]], methods: Sequence[str]
) -> list[Table]:
    """``group_masks_shown`` and its pictures; nothing where nobody has a manual mask.

    Parameters
    ----------
    overlap : rows of ``group_overlap``
    drawn : the manual masks, per session by rater
    methods : whose masks are drawn; in a session that has none of them, all that it has
    """
    places = {(place.participant_id, place.session_id): place for place in cohort.places}
    rows, notes = [], []
    for which, row in chosen(cohort, overlap).items():
        key = row["participant_id"], row["session_id"]
        good = overlap[(overlap["participant_id"] == key[0]) & (overlap["session_id"] == key[1])]
        there = list(dict.fromkeys(good["method"]))
        ordered = [name for name in methods if name in there] or there  # a session without T1w has none of those
        name = f"group_masks_shown_{which}.svg"
        place = places[key]
        if not place.ending(shown_on(place)):
            notes.append(f"masks: {place.name} has no *_{shown_on(place)}, so its masks are not shown on a picture.")
            continue
        try:
            text = picture(place, drawn[key][row["rater"]], ordered, _title(which, row))
        except ThalbidsError as error:
            notes.append(f"warning: {places[key].name}: no picture of its masks can be made ({error}).")
            continue
        announce([name], cohort.out_dir)
        write_text(cohort.out_dir / name, text)
        rows.append({"which": which, **row, "methods": " ".join(ordered), "file": name})
    files = [str(row["file"]) for row in rows]
    return [table("group_masks_shown", rows, SHOWN, notes=notes, files=files)] if rows or notes else []


def shown_on(place: Place) -> str:
    """End of the name of the image that masks are drawn on."""
    return f"desc-reoriented_{place.reference}.nii.gz"


def chosen(cohort: Cohort, overlap: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The sessions with the most and the least disease: by EDSS, then its duration, then the manual volume."""
    keys = ["participant_id", "session_id"]
    good = overlap[overlap["status"] == "ok"].drop_duplicates(keys)
    if good.empty:
        return {}
    known = ["diagnosis", "age", "disease_duration", "edss"]
    candidates = good[[*keys, "rater", "volume_rater_ml"]].merge(cohort.visits[[*keys, *known]], on=keys, how="left")
    order = candidates.assign(small=-candidates["volume_rater_ml"].astype(float)).sort_values(
        ["edss", "disease_duration", "small", *keys], kind="stable", na_position="first"
    )
    if order["edss"].notna().sum() > 1:
        order = order[order["edss"].notna()]
    ends = {"high": order.iloc[-1]} | ({"low": order.iloc[0]} if len(order) > 1 else {})
    return {which: row[[*keys, "rater", *known]].to_dict() for which, row in ends.items()}


def picture(place: Place, manual: Path, methods: Sequence[str], title: str) -> str:
    """One slice per plane of the reference image around the thalami, with the outlines of the masks, as SVG.

    Raises
    ------
    ImageError
        An image cannot be read.
    """
    t1w = views.read(place.ending(shown_on(place))[0])
    files = place.masks()
    masks = [views.Mask(views.read_mask(manual), "T1w", RED, "manual", "Manual", distrusted=False)]
    masks += [
        views.Mask(views.read_mask(files[name]), "T1w", palette.style(name), name, look.label(name), distrusted=False)
        for name in methods
        if name in files
    ]
    focus = views.choose_focus(masks[:1], None, t1w)
    legend = [(mask.label, mask.style) for mask in masks]
    return svg.montage(title, [views.middle_row(t1w, masks, focus, place.reference)], legend)


def _title(which: str, row: Mapping[str, Any]) -> str:
    facts = [
        str(row["diagnosis"] or ""),
        f"EDSS {number(row['edss'], 1)}" if _there(row["edss"]) else "",
        f"{number(row['disease_duration'], 1)} years of disease" if _there(row["disease_duration"]) else "",
    ]
    said = ", ".join(filter(None, facts))
    start = _end(which, row)
    return f"{start[0].upper()}{start[1:]}" + (f" ({said})" if said else "")


def _end(which: str, row: Mapping[str, Any]) -> str:
    """What the person stands for: disease only where something is known of it."""
    known = _there(row.get("edss")) or _there(row.get("disease_duration"))
    return (ENDS if known else BY_VOLUME)[which]


def _there(value: Any) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def shown(tables: Tables) -> list[Picture]:
    """The pictures for the page."""
    result = []
    for row in tables.get("masks_shown", ("which", "file", "methods")).to_dict("records"):
        path = tables.folder / str(row["file"])
        if not path.is_file():
            continue
        names = listed([look.label(name) for name in str(row["methods"]).split()], 12)
        source = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        alt = f"Slices through the thalami of a person with {_end(str(row['which']), row)}: manual mask and {names}."
        result.append(Picture(source, alt, str(row["file"])))
    return result
