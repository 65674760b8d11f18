"""Derivatives of a few sessions that can be rated: a head of ellipsoids, two registered images, masks, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.conftest import world_coordinates
from thalbids.files import write_json, write_table
from thalbids.image.io import save_image
from thalbids.raters.ratings import COLUMNS

SHAPE, ZOOM = (46, 54, 46), 4.0
METHODS = {"synthalT1w": "T1w", "synthalFLAIR": "FLAIR", "synthalT1FLAIR": "ensemble", "dbsegment": "T1w"}
REGISTERED = {"FLAIR": "fsl-flair", "R1map": "ants"}


def ball(world: np.ndarray, centre: Sequence[float], radii: Sequence[float]) -> np.ndarray:
    return (((world - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(0) <= 1


def write_derivatives(root: Path, sessions: Sequence[tuple[str, str]] = (("01", "1"), ("02", "1"))) -> Path:
    """``root/out`` with the sessions of these labels (session "" for none), and ``root/raw``; gives ``root/out``."""
    out = root / "out"
    affine = np.diag([ZOOM, ZOOM, ZOOM, 1.0])
    affine[:3, 3] = -ZOOM * (np.array(SHAPE) - 1) / 2
    world = world_coordinates(affine, SHAPE)
    brain = ball(world, (0, 0, 0), (62, 78, 56))
    for number, (subject, session) in enumerate(sessions):
        folder = out / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
        stem = f"sub-{subject}" + (f"_ses-{session}" if session else "")
        noise = np.random.default_rng(number).normal(0, 3, SHAPE)
        t1w = np.where(ball(world, (0, 0, 0), (75, 92, 75)), 60 + 60 * brain + noise, 0).astype(np.float32)
        save_image(t1w, affine, folder / f"{stem}_desc-reoriented_T1w.nii.gz")
        save_image(brain, affine, folder / f"{stem}_desc-brain_mask.nii.gz", dtype=np.uint8)
        for image, strategy in REGISTERED.items():
            save_image(200 - t1w, affine, folder / f"{stem}_space-T1w_desc-preproc_{image}.nii.gz")
            record = {"Chosen": strategy, "Reason": "", "Attempts": [{"strategy": strategy, "mi": 0.731}]}
            write_json(folder / f"{stem}_from-{image}_to-T1w_mode-image_xfm.json", record)
        rows = []
        for place, (method, image) in enumerate(METHODS.items()):
            mask = ball(world, (-12, -18, 6), (10 + place, 14, 10)) | ball(world, (12, -18, 6), (10 + place, 14, 10))
            save_image(mask, affine, folder / f"{stem}_space-T1w_label-thalamus_desc-{method}_mask.nii.gz")
            rows.append({"method": method, "image": image, "volume_mm3": 12000.0 + place, "status": "ok"})
        write_table(folder / f"{stem}_desc-thalamus_morph.tsv", rows, ("method", "image", "volume_mm3", "status"))
    raw = root / "raw"
    write_json(raw / "dataset_description.json", {"Name": "raw", "BIDSVersion": "1.10.0"})
    people = [{"participant_id": f"sub-{subject}", "sex": "F"} for subject in dict.fromkeys(s for s, _ in sessions)]
    write_table(raw / "participants.tsv", people, ("participant_id", "sex"))
    return out


def write_ratings(path: Path, rows: Sequence[dict[str, str]], rater: str = "AB") -> Path:
    """A rater's table as the page saves it."""
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        full = {"rater": rater, "rating": "pass", "reason": "n/a", "comment": "n/a", **row}
        lines.append("\t".join(full[name] for name in COLUMNS))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
