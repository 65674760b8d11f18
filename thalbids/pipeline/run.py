"""The commands ``participant`` and ``segment``: from settings to an exit code."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import thalbids
from thalbids.bids.filters import read_filters
from thalbids.bids.inputs import find_sessions
from thalbids.bids.outputs import open_dataset, write_table
from thalbids.errors import ImageError, ThalbidsError
from thalbids.methods.registry import chosen
from thalbids.pipeline import engine, lock, steps
from thalbids.pipeline.log import Reporter
from thalbids.pipeline.plan import plan
from thalbids.pipeline.step import Step, StepResult
from thalbids.settings import Settings
from thalbids.types import Session


def participant(
    bids_dir: Path, out_dir: Path, settings: Settings, *, dry_run: bool = False, reports_only: bool = False
) -> int:
    """Run the participant level; gives the exit code.

    Raises
    ------
    ThalbidsError
        Nothing could be started (usage, no input, missing tool, output folder).
    """
    methods = chosen(settings.methods.names)
    sessions = sessions_of(bids_dir, settings)
    out_dir = out_dir.absolute()
    planned = plan(sessions, out_dir, methods, settings)
    if reports_only:
        planned = [replace(step, needs=(), after=()) for step in planned if step.function is steps.report]
    if dry_run:
        print(describe(sessions, planned, [m.family for m in methods]))
        return 0
    with lock.claim(out_dir, [s.name for s in sessions]):
        with lock.shared_files(out_dir):
            open_dataset(
                out_dir, bids_dir, generated_by(sessions), families=[m.family for m in methods],
                validate=not settings.inputs.skip_bids_validation,
            )  # fmt: skip
        with Reporter(out_dir, settings=settings.to_toml()) as reporter:
            for session in sessions:
                for note in session.notes:
                    reporter.info(f"{session.name}: {note}")
            results = engine.run(
                planned,
                out_dir=out_dir,
                nprocs=settings.run.nprocs,
                mem_gb=settings.run.mem_gb or available_gb(),
                omp_nthreads=settings.run.omp_nthreads or max(1, cores() // settings.run.nprocs),
                versions=versions(),
                reporter=reporter,
                stop_on_first_crash=settings.run.stop_on_first_crash,
            )
    return exit_code(results)


def sessions_of(bids_dir: Path, settings: Settings) -> list[Session]:
    """The sessions that the settings ask for."""
    inputs = settings.inputs
    filters = None if inputs.bids_filter_file is None else read_filters(inputs.bids_filter_file)
    return find_sessions(
        bids_dir,
        participant_labels=inputs.participant_label,
        session_labels=inputs.session_label,
        filters=filters,
        database_dir=inputs.bids_database_dir,
        validate=not inputs.skip_bids_validation,
    )


def exit_code(results: Sequence[StepResult]) -> int:
    """0 when everything was made or was finished already; 1 when something failed, was lost or was excluded."""
    return 0 if all(result.usable for result in results) else 1


def versions() -> dict[str, str]:
    """Versions that results depend on."""
    return {name: installed(name) for name in ("antspyx", "openvino", "simpleitk")}


def generated_by(sessions: Sequence[Session]) -> list[dict[str, str]]:
    """thalbids, then the programs that compute here."""
    own: dict[str, str] = {"Name": "thalbids", "Version": str(thalbids.__version__)}
    tools = [
        {"Name": "OpenVINO", "Version": installed("openvino"), "CodeURL": "https://github.com/openvinotoolkit/openvino"}
    ]
    if any({"FLAIR", "R1map"} & set(session.images) for session in sessions):
        tools.append({"Name": "ANTsPy", "Version": installed("antspyx"), "CodeURL": "https://github.com/ANTsX/ANTsPy"})
    return [own, *tools]


def describe(sessions: Sequence[Session], planned: Sequence[Step], methods: Sequence[str]) -> str:
    """The plan for reading: per session what is there, what is missing, and what would run."""
    lines = [f"methods: {', '.join(methods)}"]
    for session in sessions:
        lines.append(session.name)
        if session.problem:
            lines.append(f"  cannot be processed: {session.problem}")
        for name, image in session.images.items():
            lines.append(f"  {name}: {image.uri}")
        lines += [f"  note: {note}" for note in session.notes]
        own = [step.name.removeprefix(f"{session.name} ") for step in planned if step.session == session.name]
        lines.append(f"  steps: {', '.join(own)}")
    broken = sum(session.problem is not None for session in sessions)
    lines.append(
        f"{len(sessions)} sessions, {broken} of them cannot be processed, {len(planned)} steps. Nothing was run."
    )
    return "\n".join(lines)


def cores() -> int:
    """Processors that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_gb() -> float:
    """Memory that is free now, in GB, within the limit of a container."""
    import psutil

    free = psutil.virtual_memory().available
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            free = min(free, int(text))
    return float(free) / 1e9


SEGMENT_COLUMNS = (
    "scan", "volume_mm3", "volume_left_mm3", "volume_right_mm3", "volume_soft_mm3", "voxels", "voxel_volume_mm3",
    "icv_mm3", "status", "reason",
)  # fmt: skip


def segment(scans: Sequence[Path], out_dir: Path | None, settings: Settings) -> int:
    """SynThal on single scans, without BIDS; gives the exit code. One scan that fails does not end the others."""
    ending = Counter[str]()
    stems = [stem(scan) for scan in scans]
    for scan in scans:
        unique = stems.count(stem(scan)) == 1 or out_dir is None
        folder = scan.absolute().parent if out_dir is None else out_dir
        try:
            row = segment_one(
                scan, folder, stem(scan) if unique else f"{scan.absolute().parent.name}_{stem(scan)}", settings
            )
        except ThalbidsError as error:
            ending["failed"] += 1
            text = str(error if error.path is not None else type(error)(error.problem, error.mend, scan))
            print(f"thalbids: {text}", file=sys.stderr)
            continue
        ending[row["status"]] += 1
        note = "" if row["status"] == "ok" else f"  NOT TRUSTED: {row['reason']}"
        print(
            f"{scan}: {row['volume_mm3'] / 1000:.2f} mL (left {row['volume_left_mm3'] / 1000:.2f}, "
            f"right {row['volume_right_mm3'] / 1000:.2f}), ICV {row['icv_mm3'] / 1000:.0f} mL{note}"
        )
    return 0 if ending["ok"] == len(scans) else 1


def stem(scan: Path) -> str:
    """The file name without its extension."""
    for extension in (".nii.gz", ".nii", ".mgz", ".mgh"):
        if scan.name.endswith(extension):
            return scan.name.removesuffix(extension)
    raise ImageError("this is not the name of a NIfTI or MGH image.", "Give a .nii, .nii.gz, .mgz or .mgh file.", scan)


def segment_one(scan: Path, folder: Path, name: str, settings: Settings) -> Mapping[str, Any]:
    """Write ``NAME_thalamus.nii.gz`` (10 left, 49 right), ``NAME_thalamusprob.nii.gz``, ``NAME_brain.nii.gz`` and
    ``NAME_thalamus.tsv``; gives the table's row.
    """
    import numpy as np

    from thalbids import qc
    from thalbids.image.io import save_image
    from thalbids.methods.synthal import segment_image

    found = segment_image(scan, precision=settings.run.precision, flip=settings.synthal.flip_averaging)
    icv = found.metadata["IntracranialVolumeMm3"]
    own = {name: found.metadata[key] for name, key in steps.DIAGNOSTICS.items()}
    mask = qc.MaskInput(
        found.labels, "synthal", ("T1w",), soft_volume_mm3=found.volume_soft_mm3, diagnostics=own
    )  # fmt: skip
    masks = {"synthal": mask}
    document = qc.build(
        subject="scan", session=None, affine=found.affine, masks=masks, brain=found.brain,
        icv=[{"source": "synthal", "icv_mm3": icv}],
    )  # fmt: skip
    judged = steps.volume_rows([{"desc": "synthal", "image": "T1w"}], document["Masks"])[0]
    row = {key: value for key, value in {**judged, "scan": scan.name, "icv_mm3": icv}.items() if key in SEGMENT_COLUMNS}
    assert found.brain is not None and found.probability is not None
    save_image(found.labels, found.affine, folder / f"{name}_thalamus.nii.gz", dtype=np.uint8)
    save_image(found.brain, found.affine, folder / f"{name}_brain.nii.gz", dtype=np.uint8)
    if settings.synthal.write_probabilities:
        save_image(found.probability, found.affine, folder / f"{name}_thalamusprob.nii.gz", dtype=np.float32)
    write_table(folder / f"{name}_thalamus.tsv", [row], SEGMENT_COLUMNS)
    return row
