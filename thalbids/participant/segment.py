"""The command ``segment``: SynThal on single scans, without BIDS."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.dataset.acquisition_facts import facts
from thalbids.bids.results.outputs import write_table
from thalbids.engine.disk import make_writable
from thalbids.errors import NoInputError, OutputError, ThalbidsError, UsageError, some
from thalbids.families import embedded
from thalbids.image.grids import voxel_volume, zooms
from thalbids.methods.embedded import SynthalSettings
from thalbids.methods.synthal import weights_checksum
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session.icv import judged as judged_icv
from thalbids.participant.stages.session.icv import what_it_lacks
from thalbids.participant.stages.session.measures import DIAGNOSTICS, volume_rows
from thalbids.participant.step_io import OF_SCAN, of_both, scan_facts
from thalbids.qc.rules import DISTRUST
from thalbids.settings import Settings
from thalbids.types import InputImage

COLUMNS = (
    "scan", "volume_mm3", "volume_left_mm3", "volume_right_mm3", "volume_soft_mm3", "voxels", "voxel_volume_mm3",
    "icv_mm3", "status", "reason", "icv_note", "scan_note",
)  # fmt: skip
MOST_NAMED = 10  # scans that failed, in the last line


def segment(scans: Sequence[Path], out_dir: Path | None, settings: Settings) -> int:
    """SynThal on single scans, without BIDS; gives the exit code. One scan that fails does not end the others.

    Raises
    ------
    NoInputError
        A scan is not there.
    UsageError
        Two scans would write the same files, a folder is named as a scan, or a file as the output folder.
    OutputError
        A folder cannot be written: at the start, or when a disk runs full.
    MissingToolError
        The weights are missing.
    """
    absent = [scan for scan in scans if not scan.exists()]
    if absent:
        raise NoInputError(f"no such file: {', '.join(map(str, absent))}.", "Check the names; nothing was done.")
    folders = [scan for scan in scans if scan.is_dir()]
    if folders:
        problem = f"this is a folder, not an image: {', '.join(map(str, folders))}."
        raise UsageError(problem, "Name the scans in it, such as FOLDER/*.nii.gz; nothing was done.")
    places = [((scan.absolute().parent if out_dir is None else out_dir), stem(scan)) for scan in scans]
    twice = sorted({name for folder, name in places if places.count((folder, name)) > 1})
    if twice:
        problem = f"several scans would write to the same files: {', '.join(twice)}."
        raise UsageError(problem, "Segment them one by one, each with an -o of its own.")
    weights_checksum()
    for folder in dict.fromkeys(folder for folder, _ in places):
        make_writable(folder)
    failed, doubted = [], 0
    for scan, (folder, name) in zip(scans, places, strict=True):
        try:
            row = segment_one(scan, folder, name, settings)
        except OutputError:
            raise
        except ThalbidsError as error:
            text = str(error if error.path is not None else type(error)(error.problem, error.mend, scan))
            print(f"thalbids: {text}", file=sys.stderr)
            failed.append(str(scan))
            continue
        doubted += row["status"] != "ok"
        print(f"{scan}: {in_words(row)}", flush=True)  # in a file, too, the last line comes last
    if len(scans) > 1:
        print(summary(len(scans), failed, doubted), file=sys.stderr)
    return 1 if failed or doubted else 0


def in_words(row: Mapping[str, Any]) -> str:
    """The volumes of a scan, and why they are not to be trusted."""
    note = "" if row["status"] == "ok" else f"  NOT TRUSTED: {row['reason']}"
    icv = "n/a" if row["icv_mm3"] is None else f"{row['icv_mm3'] / 1000:.0f} mL"
    icv += f" ({row['icv_note']})" if row["icv_note"] else ""
    return (
        f"{row['volume_mm3'] / 1000:.2f} mL (left {row['volume_left_mm3'] / 1000:.2f}, "
        f"right {row['volume_right_mm3'] / 1000:.2f}), ICV {icv}{note}"
    )


def summary(number: int, failed: Sequence[str], doubted: int) -> str:
    """How ``number`` scans ended.

    Examples
    --------
    >>> summary(9, ["a.nii.gz", "b.nii.gz"], 1)
    '9 scans: 6 measured, 1 measured but not to be trusted, 2 failed: a.nii.gz, b.nii.gz.'
    """
    parts = [f"{number - len(failed) - doubted} measured"]
    parts += [f"{doubted} measured but not to be trusted"] if doubted else []
    parts += [f"{len(failed)} failed: {some(failed, MOST_NAMED)}"] if failed else []
    return f"{number} scans: {', '.join(parts)}."


def stem(scan: Path) -> str:
    """The file name without the extension of an image."""
    for extension in (".nii.gz", ".nii", ".mgz", ".mgh"):
        if scan.name.endswith(extension):
            return scan.name.removesuffix(extension)
    return scan.name


def segment_one(scan: Path, folder: Path, name: str, settings: Settings) -> Mapping[str, Any]:
    """Write ``NAME_thalamus.nii.gz`` (10 left, 49 right), ``NAME_thalamusprob.nii.gz``, ``NAME_brain.nii.gz`` and
    ``NAME_thalamus.tsv``; gives the table's row.
    """
    from thalbids import qc
    from thalbids.image.io import load_image, save_image
    from thalbids.methods.synthal import segment_image
    from thalbids.qc.visits import image_flags, size_doubts

    image = load_image(scan, fill=True)
    for text in image.extra.get("notes", ()):
        print(f"{scan}: {text}", file=sys.stderr)
    segmentation = segment_image(
        image, precision=settings.run.precision, flip=settings.of(SynthalSettings).flip_averaging
    )
    icv = segmentation.metadata["IntracranialVolumeMm3"]
    diagnostics = {
        name: segmentation.metadata[key] for name, key in DIAGNOSTICS.items() if key in segmentation.metadata
    }
    assert segmentation.brain is not None and segmentation.probability is not None
    scanned = scan_facts(np.asarray(image.dataobj), segmentation.brain, zooms(image.affine), image.extra.get("filled"))
    diagnostics |= {name: scanned[key] for name, key in OF_SCAN.items() if scanned[key] is not None}
    diagnostics |= of_both(np.asarray(image.dataobj), segmentation.labels)
    diagnostics["scan_voxel_mm3"] = voxel_volume(image.affine)
    family = embedded()
    mask = qc.MaskInput(
        segmentation.labels, family, ("T1w",), soft_volume_mm3=segmentation.volume_soft_mm3, diagnostics=diagnostics,
        image=np.asarray(image.dataobj) != 0,
    )  # fmt: skip
    masks = {family: mask}
    document = qc.build(
        subject="scan", session=None, affine=segmentation.affine, masks=masks, brain=segmentation.brain,
        head=segmentation.metadata["ThalamiSeen"], icv=[{"source": family, "icv_mm3": icv}],
        stripped=segmentation.metadata["SkullStripped"],
    )  # fmt: skip
    judged = volume_rows([PlannedMask(family, family, ("T1w",), "T1w")], document["Masks"])[0]
    note = what_it_lacks(icv, stripped=segmentation.metadata["SkullStripped"])
    of_scan = [*image_flags("scan", facts(InputImage(scan, scan.name, "T1w"))), *size_doubts(document["Flags"])]
    told = {**judged, "scan": scan.name, "icv_mm3": icv, "icv_note": judged_icv({"icv_mm3": icv, "note": note})["note"]}
    told["scan_note"] = " ".join(flag["reason"] for flag in of_scan) or None
    row = {key: value for key, value in told.items() if key in COLUMNS}
    doubts = document["Masks"][family]["flags"] if judged["status"] == "ok" else []  # else the last line says
    of_brain = [flag for flag in document["Brain"]["flags"] if flag["severity"] != DISTRUST]  # those are among of_scan
    for flag in (*of_scan, *of_brain, *doubts):
        print(f"{scan}: {flag['reason']} {flag['advice']}", file=sys.stderr)
    save_image(segmentation.labels, segmentation.affine, folder / f"{name}_thalamus.nii.gz", dtype=np.uint8)
    save_image(segmentation.brain, segmentation.affine, folder / f"{name}_brain.nii.gz", dtype=np.uint8)
    if settings.of(SynthalSettings).write_probabilities:
        save_image(
            segmentation.probability, segmentation.affine, folder / f"{name}_thalamusprob.nii.gz", dtype=np.float32
        )
    write_table(folder / f"{name}_thalamus.tsv", [row], COLUMNS)
    return row
