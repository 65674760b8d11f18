"""Steps of masks that need more than one image: label maps of tools, results that exist, brain masks, ICV.

As in :mod:`thalbids.participant.stages.steps`: plain functions from files to files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids import names
from thalbids.bids.dictionaries import ICV_COLUMNS
from thalbids.bids.given import read_icv
from thalbids.bids.outputs import read_json, write_table
from thalbids.engine.step import Done, recorded_as
from thalbids.errors import ImageError, without_folders
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.overlap import counts, dice
from thalbids.methods import given as elsewhere
from thalbids.methods.base import Request
from thalbids.participant.stages.steps import Inputs, Outputs, Params, Upstream, given, there, work_folder, write_masks
from thalbids.settings import Settings
from thalbids.tools.freesurfer import read_stats

LABEL_COLUMNS = ("index", "name")
MIN_BRAIN_DICE = 0.7  # with SynThal's brain mask; below, one of the two is of another head or another structure
CUT_OFF_NOTE = "the field of view ends inside the skull, so its volume cannot be measured"
STRIPPED_NOTE = "the scan is skull-stripped: what the stripping removed inside the skull is not counted"


@recorded_as("thalbids.pipeline.mask_steps.label_maps")
def label_maps(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """A tool on all images of a session at once: its full label maps. An image that is not there costs only its
    own, and so does one that fails; the tool is then run again in the next run.
    """
    from thalbids.methods.registry import methods

    method: Any = methods()[params["Family"]]
    settings: Settings = params["Machine"]
    centre = tuple(read_json(given(inputs, "seen"))["ThalamiCentreMm"])
    files = {key.removeprefix("file "): path for key, path in inputs.items() if key.startswith("file ") and path}
    usable = [n for n, step in params["Images"].items() if upstream[step].usable and there(inputs, n) is not None]
    with work_folder(settings) as folder:
        requests = {}
        for name in usable:
            (folder / name).mkdir()
            requests[name] = Request(
                name, load_image(given(inputs, name)), given(inputs, "brain"), centre, params["Method"], folder / name,
                path=given(inputs, name), settings=settings, files=files,
            )  # fmt: skip
        found, failed = method.label_maps(requests) if requests else ({}, {})
    reasons = {name: without_folders(reason.replace(f"{folder}{os.sep}", "")) for name, reason in failed.items()}
    sidecars: dict[str, dict[str, Any]] = {"record": {"Failed": reasons, "Software": software(found)}}
    for name, made in found.items():
        affine = requests[name].image.affine
        save_image(made.labels, affine, outputs[name])
        rows = [{"index": index, "name": label} for index, label in sorted(made.names.items())]
        write_table(outputs[f"{name} table"], rows, LABEL_COLUMNS)
        sidecars[name] = {
            "SpatialReference": params["T1wUri"],
            "Sources": params["Sources"][name],
            "Manual": False,
            "Description": f"All labels of {params['Family']} on the {name}.",
        } | dict(made.metadata)
    return Done(sidecars, partial=bool(failed))


@recorded_as("thalbids.pipeline.mask_steps.run_tool")
def run_tool(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """A tool that keeps a folder of results of its own (FreeSurfer's recon-all), on the raw images."""
    from thalbids.methods.registry import methods

    method: Any = methods()[params["Family"]]
    folder = next(iter(outputs.values())).parents[1]
    method.run(given(inputs, "T1w"), inputs["T2w"], folder, params["Machine"])
    return Done({"record": dict(params["Method"])})


def software(found: Mapping[str, Any]) -> list[Any]:
    """The programs that made label maps."""
    return next((list(made.metadata.get("Software", ())) for made in found.values()), [])


@recorded_as("thalbids.pipeline.mask_steps.given_mask")
def given_mask(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """A thalamus mask that the user has, on the T1w grid by its header."""
    path, t1w = given(inputs, "mask"), load_image(given(inputs, "T1w"))
    data, notes = elsewhere.on_grid(path, given(inputs, "raw"), t1w)
    centre = read_json(given(inputs, "seen"))["ThalamiCentreMm"]
    labels = elsewhere.thalamus_of(data, params["Labelled"], t1w.affine, centre, path)
    inside = elsewhere.check_in_brain(labels, np.asarray(load_labels(given(inputs, "brain")).dataobj), path)
    told = read_json(given(inputs, "told")) if inputs["told"] is not None else {}
    common = {
        "SpatialReference": params["T1wUri"],
        "Sources": [params["Source"]],
        "Manual": told.get("Manual") is True,
        "Description": f"{names.by_desc(params['Desc']).description} Supplied by the user.",
        "Protocol": params["Protocol"],
        "Given": True,
        "Sides": "labels of the file" if len(np.unique(data)) > 2 else "split at the midline",
        "InBrainFraction": inside,
        "Notes": notes,
    }
    return Done(write_masks(labels, t1w.affine, outputs, common))


@recorded_as("thalbids.pipeline.mask_steps.brain")
def brain(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """The brain mask of DBSegment or FreeSurfer, or one that the user has, checked against SynThal's."""
    from thalbids.methods.registry import methods

    t1w = load_image(given(inputs, "T1w"))
    notes: list[str] = []
    if params["Source"] == "given":
        path = given(inputs, "mask")
        data, notes = elsewhere.on_grid(path, given(inputs, "raw"), t1w)
        mask = data != 0
    else:
        path = given(inputs, "labels")
        method: Any = methods()[params["Source"]]
        mask = method.brain(np.asarray(load_labels(path).dataobj), t1w.affine)
    seen = np.asarray(load_labels(given(inputs, "seen")).dataobj) != 0
    agreement = dice(counts(reference=seen, prediction=mask))
    if not agreement >= MIN_BRAIN_DICE:
        problem = f"the brain mask of {params['Source']} is not on the brain of this T1w (Dice {agreement:.2f})."
        raise ImageError(problem, "Look at both: is it of this person and session, in the T1w's space?", path)
    save_image(mask, t1w.affine, outputs["brain"], dtype=np.uint8)
    source = {"given": "Supplied by the user"}.get(params["Source"], f"By {params['Source']}")
    return Done(
        {
            "brain": {
                "Type": "Brain",
                "Manual": False,
                "Sources": params["Sources"],
                "SpatialReference": params["T1wUri"],
                "Description": f"Brain. {source}.",
                "BrainSource": params["Source"],
                "DiceWithSynthal": agreement,
                "Notes": notes,
            }
        }
    )


@recorded_as("thalbids.pipeline.mask_steps.icv")
def icv(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """The intracranial volumes of a session, the preferred one first: given, FreeSurfer's, SynThal's."""
    rows: list[dict[str, Any]] = []
    if (table := inputs.get("given")) is not None:
        rows += [{"source": "given", "icv_mm3": v} for v in given_icv(table, params["Subject"], params["Session"])]
    if (told := there(inputs, "freesurfer")) is not None:
        volume = read_json(told).get("EstimatedTotalIntraCranialVolMm3")
        rows += [{"source": "freesurfer", "icv_mm3": volume}] if volume is not None else []
    if (stats := inputs.get("aseg.stats")) is not None:
        volume = read_stats(stats).etiv_mm3
        rows += [{"source": "freesurfer", "icv_mm3": volume}] if volume is not None else []
    anatomy = read_json(given(inputs, "synthal"))
    volume = anatomy["IntracranialVolumeMm3"]
    note = CUT_OFF_NOTE if volume is None else STRIPPED_NOTE if anatomy["SkullStripped"] else None
    rows.append({"source": "synthal", "icv_mm3": volume, "note": note})
    write_table(outputs["icv"], rows, ICV_COLUMNS)
    return Done({"icv": params["Dictionary"]})


def given_icv(table: Path, subject: str, session: str | None) -> list[float]:
    """The intracranial volume (mm^3) that a given table has of a session, else of the person; empty when none.

    Raises
    ------
    MetadataError
        As `thalbids.bids.given.read_icv`.
    """
    volumes = read_icv(table)
    keys = dict.fromkeys([(f"sub-{subject}", f"ses-{session}" if session else None), (f"sub-{subject}", None)])
    return [volumes[key] for key in keys if key in volumes][:1]
